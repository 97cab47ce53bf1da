/*
 * The zip format's numbers, for the reader and the writer. "APPNOTE" is PKWARE's .ZIP
 * File Format Specification 6.3; record sizes and signatures: 4.3.7, 4.3.9, 4.3.12,
 * 4.3.14 to 4.3.16.
 */
#ifndef MH_ARCHIVE_ZIPFMT_H
#define MH_ARCHIVE_ZIPFMT_H

#include <stdint.h>

#define LOCAL_SIZE      30
#define ENTRY_SIZE      46
#define END_SIZE        22
#define END64_SIZE      56
#define LOCATOR64_SIZE  20
#define LOCAL_SIG       0x04034b50u
#define ENTRY_SIG       0x02014b50u
#define END_SIG         0x06054b50u
#define END64_SIG       0x06064b50u
#define LOCATOR64_SIG   0x07064b50u
#define DESCRIPTOR_SIG  0x08074b50u
#define COMMENT_MAX     65535
#define FLAG_ENCRYPTED  0x0001
#define FLAG_DESCRIPTOR 0x0008
#define FLAG_UTF8       0x0800
#define FLAGS_REFUSED   (0x0001 | 0x0020 | 0x0040 | 0x2000) /* encryption, patches */
#define EXTRA_ZIP64     0x0001
#define EXTRA_TIMES     0x5455 /* Info-ZIP's extended timestamp */
#define EXTRA_NAME      0x7075 /* Info-ZIP's Unicode path */
#define FULL32          0xffffffffu
#define FULL16          0xffffu

enum zip_method { ZIP_STORED = 0, ZIP_DEFLATED = 8 };

static inline uint16_t get16(const unsigned char *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get32(const unsigned char *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static inline uint64_t get64(const unsigned char *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* These answer where the next field comes. */
static inline unsigned char *put16(unsigned char *p, unsigned value)
{
	p[0] = (unsigned char)value;
	p[1] = (unsigned char)(value >> 8);
	return p + 2;
}

static inline unsigned char *put32(unsigned char *p, uint32_t value)
{
	return put16(put16(p, value & 0xffff), value >> 16);
}

static inline unsigned char *put64(unsigned char *p, uint64_t value)
{
	return put32(put32(p, (uint32_t)value), (uint32_t)(value >> 32));
}

#endif
