/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the Internet checksum over long ranges, alone and fused with a copy.
 *
 * The source is a guest's memory, which the guest may change while we read it. Each byte is
 * therefore loaded once, and the value that was summed is the value that is stored: a checksum
 * computed here always fits the bytes delivered.
 */
#include "vswitch/checksum.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static int always(void)
{
	return 1;
}

/* The last 0..7 bytes. @dst may be NULL. */
static inline uint64_t tail(uint64_t sum, uint8_t *dst, const uint8_t *src, size_t len)
{
	if (len & 4) {
		uint32_t v;

		memcpy(&v, src, 4);
		__asm__ volatile("" : "+r"(v));
		if (dst) {
			memcpy(dst, &v, 4);
			dst += 4;
		}
		sum = cksum_plus(sum, v);
		src += 4;
	}
	if (len & 2) {
		uint16_t v;

		memcpy(&v, src, 2);
		__asm__ volatile("" : "+r"(v));
		if (dst) {
			memcpy(dst, &v, 2);
			dst += 2;
		}
		sum = cksum_plus(sum, v);
		src += 2;
	}
	if (len & 1) {
		uint8_t b[2] = {*(const volatile uint8_t *)src, 0};
		uint16_t v;

		if (dst)
			*dst = b[0];
		memcpy(&v, b, 2);
		sum = cksum_plus(sum, v);
	}
	return sum;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	/* Once: the compiler may not load again for the second use. */
	__asm__ volatile("" : "+r"(v));
	return v;
}

static inline uint64_t plain(uint64_t sum, uint8_t *dst, const uint8_t *src, size_t len)
{
	for (; len >= 16; len -= 16, src += 16) {
		uint64_t a = load64(src), b = load64(src + 8);

		if (dst) {
			memcpy(dst, &a, 8);
			memcpy(dst + 8, &b, 8);
			dst += 16;
		}
		sum = cksum_plus(sum, a);
		sum = cksum_plus(sum, b);
	}
	if (len >= 8) {
		uint64_t a = load64(src);

		if (dst) {
			memcpy(dst, &a, 8);
			dst += 8;
		}
		sum = cksum_plus(sum, a);
		src += 8;
		len -= 8;
	}
	return len ? tail(sum, dst, src, len) : sum;
}

static uint64_t plain_add(uint64_t sum, const void *data, size_t len)
{
	return plain(sum, NULL, data, len);
}

static uint64_t plain_copy(uint64_t sum, void *dst, const void *src, size_t len)
{
	return plain(sum, dst, src, len);
}

#if defined(__x86_64__)
/*
 * 32-bit words are added into 64-bit lanes, which cannot overflow below 2^32 words: a packet has
 * 2^16. Two accumulators, because the adds would otherwise wait for each other.
 */
__attribute__((target("avx2"), always_inline)) static inline uint64_t
avx2(uint64_t sum, uint8_t *dst, const uint8_t *src, size_t len)
{
	const __m256i low = _mm256_set1_epi64x(0xffffffffll);
	__m256i acc0 = _mm256_setzero_si256(), acc1 = acc0, acc2 = acc0, acc3 = acc0;
	uint64_t lane[4];

	for (; len >= 64; len -= 64, src += 64) {
		__m256i a = _mm256_loadu_si256((const __m256i *)src);
		__m256i b = _mm256_loadu_si256((const __m256i *)(src + 32));

		__asm__ volatile("" : "+x"(a), "+x"(b));
		if (dst) {
			_mm256_storeu_si256((__m256i *)dst, a);
			_mm256_storeu_si256((__m256i *)(dst + 32), b);
			dst += 64;
		}
		acc0 = _mm256_add_epi64(acc0, _mm256_and_si256(a, low));
		acc1 = _mm256_add_epi64(acc1, _mm256_srli_epi64(a, 32));
		acc2 = _mm256_add_epi64(acc2, _mm256_and_si256(b, low));
		acc3 = _mm256_add_epi64(acc3, _mm256_srli_epi64(b, 32));
	}
	acc0 = _mm256_add_epi64(_mm256_add_epi64(acc0, acc1), _mm256_add_epi64(acc2, acc3));
	_mm256_storeu_si256((__m256i *)lane, acc0);
	sum = cksum_plus(sum, lane[0]);
	sum = cksum_plus(sum, lane[1]);
	sum = cksum_plus(sum, lane[2]);
	sum = cksum_plus(sum, lane[3]);
	return plain(sum, dst, src, len);
}

__attribute__((target("avx2"))) static uint64_t avx2_add(uint64_t sum, const void *data, size_t len)
{
	return len < 64 ? plain(sum, NULL, data, len) : avx2(sum, NULL, data, len);
}

__attribute__((target("avx2"))) static uint64_t avx2_copy(uint64_t sum, void *dst, const void *src,
							  size_t len)
{
	return len < 64 ? plain(sum, dst, src, len) : avx2(sum, dst, src, len);
}

static int has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
}
#endif

const struct cksum_impl cksum_impls[] = {
#if defined(__x86_64__)
	{"avx2", has_avx2, avx2_add, avx2_copy},
#endif
	{"plain", always, plain_add, plain_copy},
};
const unsigned int cksum_n_impls = sizeof(cksum_impls) / sizeof(cksum_impls[0]);
const struct cksum_impl *cksum = &cksum_impls[sizeof(cksum_impls) / sizeof(cksum_impls[0]) - 1];

__attribute__((constructor)) static void choose(void)
{
	for (unsigned int i = 0; i < cksum_n_impls; i++) {
		if (cksum_impls[i].usable()) {
			cksum = &cksum_impls[i];
			return;
		}
	}
}
