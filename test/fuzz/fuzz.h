/*
 * fuzz.h
 *		A fuzz target: what is done with one input, and how inputs are made from
 *		seeds.
 *
 * NAME_fuzz.c is a target.  With driver.c it becomes build/fuzz/NAME_mutants,
 * which tries a fixed number of mutants, the same every time; with libfuzzer.c
 * build/fuzz/NAME_fuzz, which searches as long as it is told to.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- random numbers: splitmix64 (Steele, Lea, Flood, 2014) ---- */

typedef struct Random
{
	uint64_t	state;
} Random;

extern uint64_t random_bits(Random *random);
extern uint32_t random_below(Random *random, uint64_t limit);	/* 0 for 0 */

/* The same number for the same bytes. */
extern uint64_t hash_of(const void *bytes, size_t size);

/* ---- inputs ---- */

#define INPUT_LIMIT		((size_t) 4 << 20)

typedef struct Input
{
	char	   *data;			/* aligned to 8 */
	size_t		size;
	size_t		capacity;
} Input;

extern void input_set(Input *input, const void *bytes, size_t size);

/* Put bytes, which must not be the input's own, in the place of others. */
extern void input_replace(Input *input, size_t at, size_t size,
						  const void *bytes, size_t new_size);

/* Put a copy of a part of the input in the place of another part. */
extern void input_copy(Input *input, size_t at, size_t size, size_t from, size_t from_size);

/* ---- a target ---- */

/* One way to make an input; other is a second seed of the same kind. */
typedef void (*MutateFunction) (Input *input, const Input *other, Random *random);

typedef struct Family
{
	const char *name;
	bool		(*takes) (const Input *seed);
	MutateFunction mutate;
} Family;

/* The target's families; the last has no name. */
extern const Family fuzz_families[];

/* Make the target's seed of a model file; false when that cannot be. */
extern bool fuzz_seed(Input *file);

/* Try one input.  False when it was refused; does not return when it broke
 * what the target promises. */
extern bool fuzz_try(const char *bytes, size_t size);

/* driver.c, libfuzzer.c: a promise is broken by this input. */
extern void fuzz_fail(const char *format,...)
			__attribute__((noreturn, format(printf, 1, 2)));

/* ---- mutate.c, mutate_model.c, mutate_image.c ---- */

extern void mutate_bytes(Input *input, const Input *other, Random *random);
extern void mutate_length(Input *input, const Input *other, Random *random);
extern void mutate_json(Input *input, const Input *other, Random *random);
extern void mutate_ubjson(Input *input, const Input *other, Random *random);
extern void mutate_image(Input *input, const Input *other, Random *random);

/* ---- score.c ---- */

/* Score and explain rows with a sound image: all kernels must agree. */
extern void score_image(const void *image, const float *rows, uint32_t num_rows);

/* Rows for an image: numbers of all kinds, [num_rows][num_features]. */
extern void score_fill_rows(const void *image, float *rows, uint32_t num_rows, Random *random);

/* How many rows are worth their time: more than a batch kernel's least, now and
 * then more than its block. */
extern uint32_t score_num_rows(const void *image, Random *random);

#endif							/* FUZZ_H */
