/*
 * material.h
 *		What unit tests are made of: random numbers that are the same everywhere,
 *		and memory of exact sizes, so that sanitizers see a read or a write past
 *		it.
 */
#ifndef PG_RISK_MATERIAL_H
#define PG_RISK_MATERIAL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t random_state = 1;

/* xorshift64*: the same sequence everywhere. */
static inline uint32_t
random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (uint32_t) (random_state * UINT64_C(0x2545F4914F6CDD1D) >> 32);
}

static inline uint32_t
random_below(uint32_t limit)
{
	return random_bits() % limit;
}

#define MAX_BLOCKS	400000

static void *test_blocks[MAX_BLOCKS];
static size_t num_test_blocks = 0;

/* Zeroed memory of exactly this size, until free_all(). */
static inline void *
allocate(size_t size)
{
	void	   *block = calloc(1, size > 0 ? size : 1);

	if (block == NULL || num_test_blocks == MAX_BLOCKS)
	{
		printf("Bail out! out of memory\n");
		exit(1);
	}
	test_blocks[num_test_blocks++] = block;
	return block;
}

static inline void
free_all(void)
{
	while (num_test_blocks > 0)
		free(test_blocks[--num_test_blocks]);
}

#endif							/* PG_RISK_MATERIAL_H */
