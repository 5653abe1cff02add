/*
 * libfuzzer.c
 *		A fuzz target for libFuzzer: inputs that reach new code are kept and
 *		mutated further, by libFuzzer and by the target's families in turn.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
extern size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max_size,
									  unsigned seed);
extern size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t max_size);

/* See fuzz.h; libFuzzer keeps the input. */
void
fuzz_fail(const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	fuzz_try((const char *) bytes, size);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t max_size, unsigned seed)
{
	static Input input;
	Random		random = {seed};
	uint32_t	count = 0;

	if (random_below(&random, 2) == 0)
		return LLVMFuzzerMutate(bytes, size, max_size);
	while (fuzz_families[count].name != NULL)
		count++;
	input_set(&input, bytes, size);
	for (uint32_t tries = 0; tries < 8; tries++)
	{
		const Family *family = &fuzz_families[random_below(&random, count)];

		if (!family->takes(&input))
			continue;
		family->mutate(&input, &input, &random);
		break;
	}
	if (input.size < max_size)
		max_size = input.size;
	memcpy(bytes, input.data, max_size);
	return max_size;
}
