/*
 * image_fuzz.c
 *		Forest images, as a damaged table row could hold them: whatever bytes
 *		forest_check() accepts are scored inside of their memory, and the kernel
 *		agrees with the reference.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "forest/forest.h"
#include "fuzz.h"
#include "guard.h"
#include "importing.h"

/* All families take all seeds. */
static bool
takes_all(const Input *seed)
{
	return seed->size > 0;
}

const Family fuzz_families[] = {
	{"bytes", takes_all, mutate_bytes},
	{"fields", takes_all, mutate_image},
	{"lengths", takes_all, mutate_length},
	{NULL, NULL, NULL}
};

static char seed_image[INPUT_LIMIT];	/* not of the guard's memory */
static size_t seed_size;

/* Import a model and keep its image. */
static void
take_image(void *argument)
{
	const Input *file = argument;
	Imported	imported;

	import_model(file->data, file->size, false, file->size % 2 == 0 ? NAN : -999.0f, false,
				 &imported);
	seed_size = imported.image_size <= sizeof(seed_image) ? imported.image_size : 0;
	memcpy(seed_image, imported.image, seed_size);
}

/* See fuzz.h; a file may also be an image itself. */
bool
fuzz_seed(Input *file)
{
	const char *refusal;

	if (file->size > 4 && memcmp(file->data, "PGRF", 4) == 0)
		return true;
	if (!guard_run(take_image, file, (GuardMemory){.has_region = true}, &refusal) || seed_size == 0)
		return false;
	input_set(file, seed_image, seed_size);
	return true;
}

/* See fuzz.h. */
bool
fuzz_try(const char *bytes, size_t size)
{
	Random		random = {hash_of(bytes, size)};
	void	   *image = malloc(size);	/* exactly, and aligned */
	const char *wrong;

	if (size > 0)
		memcpy(image, bytes, size);
	wrong = forest_check(image, size);
	if (wrong == NULL)
	{
		uint32_t	num_rows = score_num_rows(image, &random);
		size_t		num_features = ((const ForestHeader *) image)->num_features;
		float	   *rows = guard_malloc(num_rows * num_features * sizeof(float));

		score_fill_rows(image, rows, num_rows, &random);
		score_image(image, rows, num_rows);
		free(rows);
	}
	else if (wrong[0] == '\0')
		fuzz_fail("an image is refused without a reason");
	free(image);
	return wrong == NULL;
}
