/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main() of a fuzzer that has no libFuzzer: every file of a corpus, then changes of them.
 *
 *	fuzz_smoke_NAME directory [rounds [seed]]
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tests/lib/rng.h"

#define MAX_FILES 256
#define MAX_SIZE  8192
#define ROUNDS	  100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t file[MAX_FILES][MAX_SIZE];
static size_t size_of[MAX_FILES];

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static unsigned int load(const char *dir)
{
	struct dirent **names;
	unsigned int n = 0;
	int found = scandir(dir, &names, NULL, by_name);

	for (int i = 0; i < found; i++) {
		char path[4096];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (names[i]->d_name[0] != '.' && n < MAX_FILES && (f = fopen(path, "rb"))) {
			size_of[n] = fread(file[n], 1, MAX_SIZE, f);
			n += size_of[n] > 0;
			fclose(f);
		}
		free(names[i]);
	}
	if (found >= 0)
		free(names);
	return n;
}

/* A copy of exactly its size, so that a read behind it is seen. */
static void feed(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1);

	memcpy(exact, data, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static size_t change(uint8_t *to, unsigned int n, struct rng *r)
{
	unsigned int from = rng_below(r, n), times = 1 + rng_below(r, 6);
	size_t size = size_of[from];

	memcpy(to, file[from], size);
	while (times--) {
		size_t at = rng_below(r, (uint32_t)size);

		switch (rng_below(r, 5)) {
		case 0:
			to[at] = (uint8_t)rng_u64(r);
			break;
		case 1:
			to[at] ^= (uint8_t)(1u << rng_below(r, 8));
			break;
		case 2:
			to[at] = rng_below(r, 2) ? 0xff : 0;
			break;
		case 3: /* cut off */
			size = MAX(at, (size_t)1);
			break;
		case 4: /* another one's tail */
			from = rng_below(r, n);
			if (at < size_of[from]) {
				memcpy(to + at, file[from] + at, size_of[from] - at);
				size = size_of[from];
			}
			break;
		}
	}
	return size;
}

int main(int argc, char **argv)
{
	unsigned int rounds = argc > 2 ? (unsigned int)atoi(argv[2]) : ROUNDS, n;
	struct rng r = {.s = argc > 3 ? strtoull(argv[3], NULL, 0) : 1};
	static uint8_t buf[MAX_SIZE];

	if (argc < 2) {
		fprintf(stderr, "usage: %s directory [rounds [seed]]\n", argv[0]);
		return 2;
	}
	n = load(argv[1]);
	if (!n) {
		fprintf(stderr, "%s: no files\n", argv[1]);
		return 1;
	}
	feed(buf, 0);
	for (unsigned int i = 0; i < n; i++)
		feed(file[i], size_of[i]);
	for (unsigned int i = 0; i < rounds; i++)
		feed(buf, change(buf, n, &r));
	printf("%u files, %u changes of them\n", n, rounds);
	return 0;
}
