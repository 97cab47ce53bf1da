dnl The project's own switches.
AC_DEFUN([MH_OPTIONS], [
AC_ARG_ENABLE([emulator],
  [AS_HELP_STRING([--disable-emulator], [build the agent only])], [], [enable_emulator=yes])
AC_ARG_ENABLE([fault-points],
  [AS_HELP_STRING([--enable-fault-points],
    [compile in named kill points, for the crash tests only; never install such a build])],
  [], [enable_fault_points=no])
AS_IF([test "x$enable_fault_points" = xyes],
  [AC_DEFINE([MH_FAULT_POINTS], [1], [Named kill points are compiled in])])
AM_CONDITIONAL([FAULT_POINTS], [test "x$enable_fault_points" = xyes])
])
