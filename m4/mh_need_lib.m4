dnl MH_NEED_LIB(variable, module, version, Debian package, Fedora package)
dnl Like PKG_CHECK_MODULES, but names the package that has the library.
AC_DEFUN([MH_NEED_LIB], [
PKG_CHECK_MODULES([$1], [$2 >= $3], [],
  [AC_MSG_ERROR([the library $2 (version $3 or newer) is missing: install the package "$4" (Debian, Ubuntu) or "$5" (Fedora)])])
])
