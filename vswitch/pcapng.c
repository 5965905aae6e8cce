/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the layout of pcapng blocks. */
#include "vswitch/pcapng.h"

#include <string.h>

#include "base/util.h"

#define BLOCK_SECTION	 0x0a0d0d0au
#define BLOCK_INTERFACE	 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET	 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINKTYPE_ETHER	 1u

#define OPT_END	     0u
#define OPT_COMMENT  1u
#define SHB_USERAPPL 4u
#define IF_NAME	     2u
#define IF_TSRESOL   9u
#define EPB_FLAGS    2u
#define ISB_START    2u
#define ISB_END	     3u
#define ISB_IFRECV   4u
#define ISB_IFDROP   5u

/* A block being written: its bytes so far. */
struct block {
	uint8_t *out;
	size_t len;
};

static void put(struct block *b, const void *data, size_t len)
{
	static const uint8_t zero[4];
	size_t pad = -len & 3;

	memcpy(b->out + b->len, data, len);
	memcpy(b->out + b->len + len, zero, pad);
	b->len += len + pad;
}

static void put32(struct block *b, uint32_t v)
{
	put(b, &v, 4);
}

/* Upper half first, in all pcapng times. */
static void put_time(struct block *b, uint64_t ns)
{
	put32(b, (uint32_t)(ns >> 32));
	put32(b, (uint32_t)ns);
}

static void option(struct block *b, uint16_t code, const void *data, size_t len)
{
	uint16_t head[2] = {code, (uint16_t)len};

	put(b, head, sizeof(head));
	put(b, data, len);
}

static void text(struct block *b, uint16_t code, const char *s, size_t max)
{
	option(b, code, s, strnlen(s, max));
}

static struct block begin(uint8_t *out, uint32_t type)
{
	struct block b = {.out = out};

	put32(&b, type);
	put32(&b, 0); /* length, see finish() */
	return b;
}

static size_t finish(struct block *b)
{
	uint32_t len;

	put32(b, OPT_END);
	len = (uint32_t)b->len + 4;
	put32(b, len);
	memcpy(b->out + 4, &len, 4);
	return len;
}

size_t pcapng_section(uint8_t *out, const char *application)
{
	struct block b = begin(out, BLOCK_SECTION);
	uint16_t version[2] = {1, 0};
	int64_t unknown = -1;

	put32(&b, BYTE_ORDER_MAGIC);
	put(&b, version, sizeof(version));
	put(&b, &unknown, sizeof(unknown));
	text(&b, SHB_USERAPPL, application, 100);
	return finish(&b);
}

size_t pcapng_interface(uint8_t *out, const char *name, uint32_t snaplen)
{
	struct block b = begin(out, BLOCK_INTERFACE);
	uint8_t resolution = 9; /* 10^-9 s */

	put32(&b, LINKTYPE_ETHER); /* and 16 bits reserved */
	put32(&b, snaplen);
	text(&b, IF_NAME, name, 100);
	option(&b, IF_TSRESOL, &resolution, 1);
	return finish(&b);
}

size_t pcapng_packet(uint8_t *out, uint64_t time_ns, uint32_t cap_len, uint32_t len,
		     uint32_t direction, const char *comment)
{
	struct block b = begin(out, BLOCK_PACKET);

	put32(&b, 0); /* see pcapng_packet_interface() */
	put_time(&b, time_ns);
	put32(&b, cap_len);
	put32(&b, len);
	/* The bytes are there. */
	b.len += cap_len;
	memset(out + b.len, 0, -b.len & 3);
	b.len = ALIGN_UP(b.len, (size_t)4);
	option(&b, EPB_FLAGS, &direction, 4);
	if (comment)
		text(&b, OPT_COMMENT, comment, 200);
	return finish(&b);
}

void pcapng_packet_interface(uint8_t *block, uint32_t number)
{
	memcpy(block + 8, &number, 4);
}

size_t pcapng_statistics(uint8_t *out, uint64_t start_ns, uint64_t now_ns_, uint64_t received,
			 uint64_t dropped)
{
	struct block b = begin(out, BLOCK_STATISTICS);
	uint32_t start[2] = {(uint32_t)(start_ns >> 32), (uint32_t)start_ns};
	uint32_t end[2] = {(uint32_t)(now_ns_ >> 32), (uint32_t)now_ns_};

	put32(&b, 0); /* interface */
	put_time(&b, now_ns_);
	option(&b, ISB_START, start, sizeof(start));
	option(&b, ISB_END, end, sizeof(end));
	option(&b, ISB_IFRECV, &received, sizeof(received));
	option(&b, ISB_IFDROP, &dropped, sizeof(dropped));
	return finish(&b);
}
