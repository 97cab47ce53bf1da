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
dnl An empty directory installs nothing (automake's rule).
AC_ARG_WITH([systemdsystemunitdir],
  [AS_HELP_STRING([--with-systemdsystemunitdir=DIR],
    [install the systemd units there; yes: /usr/lib/systemd/system])],
  [], [with_systemdsystemunitdir=no])
AC_ARG_WITH([sysusersdir],
  [AS_HELP_STRING([--with-sysusersdir=DIR],
    [install the description of the user millhand there; with the units: /usr/lib/sysusers.d])],
  [], [with_sysusersdir=$with_systemdsystemunitdir
    AS_IF([test "x$with_sysusersdir" != xno], [with_sysusersdir=yes])])
AS_CASE([$with_systemdsystemunitdir],
  [no], [systemdsystemunitdir=],
  [yes], [systemdsystemunitdir=/usr/lib/systemd/system],
  [systemdsystemunitdir=$with_systemdsystemunitdir])
AS_CASE([$with_sysusersdir],
  [no], [sysusersdir=],
  [yes], [sysusersdir=/usr/lib/sysusers.d],
  [sysusersdir=$with_sysusersdir])
AC_SUBST([systemdsystemunitdir])
AC_SUBST([sysusersdir])
])
