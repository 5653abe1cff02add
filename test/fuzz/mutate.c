/*
 * mutate.c
 *		Random numbers, inputs, and the mutations that know nothing of formats.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* See fuzz.h. */
uint64_t
random_bits(Random *random)
{
	uint64_t	bits = random->state += UINT64_C(0x9E3779B97F4A7C15);

	bits = (bits ^ bits >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	bits = (bits ^ bits >> 27) * UINT64_C(0x94D049BB133111EB);
	return bits ^ bits >> 31;
}

/* See fuzz.h. */
uint32_t
random_below(Random *random, uint64_t limit)
{
	return limit == 0 ? 0 : (uint32_t) ((random_bits(random) >> 32) * limit >> 32);
}

/* See fuzz.h: FNV-1a (Fowler, Noll, Vo). */
uint64_t
hash_of(const void *bytes, size_t size)
{
	uint64_t	hash = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ ((const unsigned char *) bytes)[i]) * UINT64_C(0x100000001B3);
	return hash;
}

/* Make room. */
static void
input_reserve(Input *input, size_t size)
{
	if (size <= input->capacity)
		return;
	input->capacity = size + size / 2 + 64;
	input->data = realloc(input->data, input->capacity);
	if (input->data == NULL)
		abort();
}

/* See fuzz.h. */
void
input_set(Input *input, const void *bytes, size_t size)
{
	input_reserve(input, size + 1);
	if (size > 0)
		memcpy(input->data, bytes, size);
	input->size = size;
}

/* See fuzz.h.  An input does not grow past the limit: then nothing happens. */
void
input_replace(Input *input, size_t at, size_t size, const void *bytes, size_t new_size)
{
	if (input->size - size + new_size > INPUT_LIMIT)
		return;
	input_reserve(input, input->size - size + new_size + 1);
	memmove(input->data + at + new_size, input->data + at + size, input->size - at - size);
	if (new_size > 0)
		memcpy(input->data + at, bytes, new_size);
	input->size += new_size - size;
}

/* See fuzz.h. */
void
input_copy(Input *input, size_t at, size_t size, size_t from, size_t from_size)
{
	char	   *copy = malloc(from_size + 1);

	if (copy == NULL)
		abort();
	memcpy(copy, input->data + from, from_size);
	input_replace(input, at, size, copy, from_size);
	free(copy);
}

/* Change some bits, bytes and runs of bytes. */
void
mutate_bytes(Input *input, const Input *other, Random *random)
{
	static const unsigned char special[] = "\0\1\x7F\x80\xFF\"\\{}[],:-.e09LldDUiISTZ$#";
	uint32_t	changes = 1 + random_below(random, 4) / (1 + random_below(random, 4));

	(void) other;
	while (changes-- > 0 && input->size > 0)
	{
		size_t		at = random_below(random, input->size);
		size_t		run = 1 + random_below(random, input->size - at < 32 ? input->size - at : 32);
		char		byte = (char) special[random_below(random, sizeof(special))];

		switch (random_below(random, 6))
		{
			case 0:
				input->data[at] = (char) (input->data[at] ^ 1 << random_below(random, 8));
				break;
			case 1:
				input->data[at] = (char) random_bits(random);
				break;
			case 2:
				input->data[at] = byte;
				break;
			case 3:
				input_replace(input, at, 0, &byte, 1);
				break;
			case 4:
				input_replace(input, at, run, NULL, 0);
				break;
			default:
				if (run > input->size - at)
					run = input->size - at;
				input_copy(input, random_below(random, input->size), 0, at, run);
				break;
		}
	}
}

/* Cut the input, double a part of it, or go on with another input. */
void
mutate_length(Input *input, const Input *other, Random *random)
{
	size_t		at = random_below(random, input->size);
	size_t		from = random_below(random, other->size);

	switch (random_below(random, 4))
	{
		case 0:
			input->size = at;
			break;
		case 1:
			input_copy(input, at, 0, 0, at);
			break;
		case 2:
			if (other != input)
				input_replace(input, at, input->size - at, other->data + from,
							  other->size - from);
			break;
		default:
			if (other != input)
				input_replace(input, at, 0, other->data + from,
							  random_below(random, other->size - from));
			break;
	}
}
