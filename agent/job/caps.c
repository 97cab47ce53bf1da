#include "agent/job/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int kept[] = {
	CAP_CHOWN,      CAP_DAC_OVERRIDE, CAP_FOWNER,  CAP_FSETID,           CAP_KILL,
	CAP_SETGID,     CAP_SETUID,       CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_NET_RAW,
	CAP_SYS_CHROOT, CAP_AUDIT_WRITE,  CAP_SETFCAP,
};

static uint64_t kept_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		mask |= UINT64_C(1) << kept[i];
	return mask;
}

/* What no program started from here on can have again. */
static int reduce_bounding_set(uint64_t mask, struct mh_err *err)
{
	/* Until the kernel knows no more of them. */
	for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (!(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return mh_err_sys(err, "capability %d", cap);
	}
	return 0;
}

int caps_reduce(struct mh_err *err)
{
	struct __user_cap_header_struct header = { .version =
							   _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2];
	uint64_t mask = kept_mask();

	if (geteuid() != 0)
		return 0;
	if (reduce_bounding_set(mask, err) != 0)
		return -1;
	if (syscall(SYS_capget, &header, now) != 0)
		return mh_err_sys(err, "capabilities");
	/* In a container even root may have fewer: nothing is added. */
	for (int i = 0; i < 2; i++) {
		now[i].permitted &= (uint32_t)(mask >> (32 * i));
		now[i].effective = now[i].permitted;
		now[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, now) != 0)
		return mh_err_sys(err, "capabilities");
	return 0;
}
