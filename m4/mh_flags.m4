dnl Flags go into WARN_, HARDEN_ and SAN_ variables, never into the user's CFLAGS.

dnl MH_TRY_CFLAG(variable, flag): append the flag when the compiler takes it.
AC_DEFUN([MH_TRY_CFLAG], [
AX_MH_SAVE_CFLAGS="$CFLAGS"
CFLAGS="$CFLAGS -Werror $2"
AC_MSG_CHECKING([whether $CC takes $2])
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
  [AC_MSG_RESULT([yes]); $1="$$1 $2"], [AC_MSG_RESULT([no])])
CFLAGS="$AX_MH_SAVE_CFLAGS"
])

AC_DEFUN([MH_WARNINGS], [
AC_ARG_ENABLE([werror],
  [AS_HELP_STRING([--enable-werror], [warnings are errors])], [], [enable_werror=no])
WARN_CFLAGS=
m4_foreach_w([mh_flag], [-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wwrite-strings -Wpointer-arith -Wcast-qual -Wformat=2 -Wundef -Wimplicit-fallthrough],
  [MH_TRY_CFLAG([WARN_CFLAGS], mh_flag)])
AS_IF([test "x$enable_werror" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
AC_SUBST([WARN_CFLAGS])
])

AC_DEFUN([MH_HARDENING], [
AC_ARG_ENABLE([hardening],
  [AS_HELP_STRING([--disable-hardening], [leave out the hardening flags])], [], [enable_hardening=yes])
HARDEN_CFLAGS= HARDEN_CPPFLAGS= HARDEN_LDFLAGS= PIE_LDFLAGS=
AS_IF([test "x$enable_hardening" != xno], [
  MH_TRY_CFLAG([HARDEN_CFLAGS], [-fstack-protector-strong])
  MH_TRY_CFLAG([HARDEN_CFLAGS], [-fstack-clash-protection])
  MH_TRY_CFLAG([HARDEN_CFLAGS], [-fcf-protection])
  MH_TRY_CFLAG([HARDEN_CFLAGS], [-fPIE])
  AS_IF([test "x${enable_sanitizers:-no}" = xno],
    [AS_CASE([" $CFLAGS "], [*" -O0 "*], [],
      [*" -O"*], [HARDEN_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])])
  HARDEN_LDFLAGS="-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack"
  PIE_LDFLAGS="-pie"
])
MH_TRY_CFLAG([HARDEN_CFLAGS], [-fvisibility=hidden])
AC_SUBST([HARDEN_CFLAGS])
AC_SUBST([HARDEN_CPPFLAGS])
AC_SUBST([HARDEN_LDFLAGS])
AC_SUBST([PIE_LDFLAGS])
])

AC_DEFUN([MH_SANITIZERS], [
AC_ARG_ENABLE([sanitizers],
  [AS_HELP_STRING([--enable-sanitizers@<:@=LIST@:>@], [build with sanitizers (default list: address,undefined)])],
  [], [enable_sanitizers=no])
SAN_CFLAGS=
AS_CASE([$enable_sanitizers],
  [no], [mh_sanitizers=],
  [yes], [mh_sanitizers=address,undefined],
  [mh_sanitizers=$enable_sanitizers])
AS_IF([test -n "$mh_sanitizers"],
  [SAN_CFLAGS="-fsanitize=$mh_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer -g"])
AC_SUBST([SAN_CFLAGS])
AM_CONDITIONAL([SANITIZERS], [test -n "$mh_sanitizers"])
])
