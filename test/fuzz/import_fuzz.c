/*
 * import_fuzz.c
 *		Model files, as a stranger could send them.  A file is refused with a
 *		message that the server can show, or it is imported, and then
 *		- its image is sound, and kernel, reference and a walk of the source
 *		  trees give the same margins, for the probes of certificates too;
 *		- its metadata are one line of JSON;
 *		- what is written for libxgboost, of any release, is a model that can be
 *		  imported, and is the same forest where nothing had to be changed;
 *		- an allocation that fails anywhere is a refusal for want of memory.
 */
#define _GNU_SOURCE				/* memmem() */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "guard.h"
#include "import/memory.h"
#include "import/refusal.h"
#include "import/report.h"
#include "importing.h"

#define NUM_PROBES		24
#define MAX_CELLS		(UINT32_C(1) << 18)	/* of all probes */

/* A trial: the input, and what was found out about it. */
typedef struct Trial
{
	const char *bytes;
	size_t		size;
	uint64_t	hash;
	Imported	imported;
} Trial;

/* ---- families ---- */

/* What a family's seeds are: JSON, UBJSON, anything that is not large. */
static bool
takes_json(const Input *seed)
{
	return seed->size > 1 && seed->data[0] == '{' &&
		(seed->data[1] == '"' || seed->data[1] == '\n');
}

static bool
takes_ubjson(const Input *seed)
{
	return seed->size > 1 && seed->data[0] == '{' && !takes_json(seed);
}

static bool
takes_small(const Input *seed)
{
	return seed->size > 0 && seed->size <= 16384;
}

/* What other files begin with, before the rest of a model or nothing. */
static void
mutate_beginning(Input *input, const Input *other, Random *random)
{
	static const char *const beginnings[] = {
		"", "{", "[", "{}", " {", "\xEF\xBB\xBF{", "binf", "\x1F\x8B", "PK\x03\x04",
		"\x80\x04", "tree\n", "booster[0]", "bs64", "\x08\x03\x12", "{\"", "{\"learner\"",
		"{L", "{i"
	};
	const char *beginning = beginnings[random_below(random, sizeof(beginnings) / sizeof(char *))];
	char		header[200];

	(void) other;
	input_replace(input, 0,
				  random_below(random, 4) == 0 ? random_below(random, input->size) : input->size,
				  beginning, strlen(beginning));
	for (size_t i = 0; i < sizeof(header); i++)
		header[i] = (char) (random_below(random, 3) == 0 ? random_bits(random) : 0);
	if (random_below(random, 2) == 0)
	{
		header[136] = (char) random_below(random, 20);
		memset(header + 137, 0, 7);
		memset(header + 144, 'b', 20);
	}
	input_replace(input, input->size, 0, header, random_below(random, sizeof(header)));
}

const Family fuzz_families[] = {
	{"JSON, bytes", takes_json, mutate_bytes},
	{"JSON, fields", takes_json, mutate_json},
	{"JSON, lengths", takes_json, mutate_length},
	{"UBJSON, bytes", takes_ubjson, mutate_bytes},
	{"UBJSON, fields", takes_ubjson, mutate_ubjson},
	{"UBJSON, lengths", takes_ubjson, mutate_length},
	{"beginnings of files", takes_small, mutate_beginning},
	{NULL, NULL, NULL}
};

/* A model file is a seed as it is. */
bool
fuzz_seed(Input *file)
{
	return file->size > 0;
}

/* ---- an imported model ---- */

/* The margins of a row by the trees as the model has them. */
static void
walk_source(const ForestSource *source, const float *row, float *margins)
{
	memcpy(margins, source->base_margins, source->num_outputs * sizeof(float));
	for (uint32_t i = 0; i < source->num_trees; i++)
	{
		const ForestSourceTree *tree = &source->trees[i];
		int32_t		at = 0;

		while (tree->left[at] != -1)
		{
			float		value = row[tree->feature[at]];
			bool		right = !(value < tree->condition[at]);

			if (isnan(value) || value == source->missing)
				right = !tree->default_left[at];
			else if (tree->categorical != NULL && tree->categorical[at])
			{
				right = false;
				for (int32_t j = 0; j < tree->set_size[at] && value > -1.0f; j++)
					right = right || (value >= 0.0f && truncf(value) ==
									  (float) tree->categories[tree->set_begin[at] + j]);
			}
			at = right ? tree->right[at] : tree->left[at];
		}
		if (tree->leaf_vectors == NULL)
			margins[tree->output] += tree->weight * tree->condition[at];
		else
			for (uint32_t k = 0; k < source->num_outputs; k++)
				margins[k] += tree->weight *
					tree->leaf_vectors[(size_t) tree->leaf_vector[at] * source->num_outputs + k];
	}
}

/* Score rows in three ways. */
static void
score_all_ways(const Imported *imported, const float *rows, uint32_t num_rows)
{
	const ForestSource *source = &imported->source;
	float	   *expected = region_get(source->num_outputs, sizeof(float));
	float	   *margins = region_get(source->num_outputs, sizeof(float));
	Forest		forest;

	score_image(imported->image, rows, num_rows);
	if (source->kind == FOREST_LINEAR)
		return;
	forest_open(&forest, imported->image);
	for (uint32_t i = 0; i < num_rows; i++)
	{
		const float *row = rows + (size_t) i * source->num_features;

		walk_source(source, row, expected);
		forest_margins_reference(&forest, row, margins);
		for (uint32_t k = 0; k < source->num_outputs; k++)
		{
			if (memcmp(&expected[k], &margins[k], sizeof(float)) != 0 &&
				!(isnan(expected[k]) && isnan(margins[k])))
				fuzz_fail("margin %u of row %u is %.9g instead of %.9g", k, i,
						  (double) margins[k], (double) expected[k]);
		}
	}
}

/* The rows that certificates use, and rows of odd numbers. */
static void
try_scores(const Trial *trial)
{
	const Imported *imported = &trial->imported;
	const ForestHeader *header = imported->image;
	uint32_t	cells = header->num_features > header->num_outputs ?
		header->num_features : header->num_outputs;
	Certificate certificate = {0};
	Random		random = {trial->hash};
	Probes		probes;
	uint32_t	num_rows = score_num_rows(imported->image, &random);
	float	   *rows = malloc((size_t) num_rows * header->num_features * sizeof(float));

	if (rows == NULL)
		refuse(REFUSE_LIMIT, NULL, "out of memory for rows");
	score_fill_rows(imported->image, rows, num_rows, &random);
	score_all_ways(imported, rows, num_rows);
	free(rows);
	num_rows = cells > MAX_CELLS / NUM_PROBES ? 4 : NUM_PROBES;
	probes_make(&imported->source, imported->model, num_rows, trial->hash, &probes, &certificate);
	score_all_ways(imported, probes.rows, num_rows);
}

/* The metadata are JSON that our own strict parser takes, on one line. */
static void
try_report(const Trial *trial)
{
	Certificate certificate = {.library = "",.read_as = ""};
	Report		report = {
		.model = trial->imported.model,
		.header = trial->imported.image,
		.certificate = &certificate,
		.release_text = trial->imported.model->release_text,
		.used_rounds = trial->imported.model->rounds,
		.importance = report_importance(trial->imported.model, trial->imported.source.num_trees)
	};
	static char *text = NULL;	/* static: the parser may not come back */
	size_t		size = 0;
	FILE	   *stream;

	free(text);
	text = NULL;
	stream = open_memstream(&text, &size);
	if (stream == NULL)
		fuzz_fail("cannot open a stream for the report");
	report_as_json(&report, stream);
	report_as_text(&report, stream);
	rewind(stream);
	report_as_json(&report, stream);
	fclose(stream);
	if (size == 0 || memchr(text, '\n', size) != text + size - 1)
		fuzz_fail("metadata are not one line");
	document_parse_json(text, size);
}

/* What libxgboost would be given is a model, and the same one. */
static void
try_dialects(const Trial *trial)
{
	static const int releases[] = {
		RELEASE(1, 7), RELEASE(2, 0), RELEASE(3, 0), RELEASE(3, 1), RELEASE(3, 2),
		RELEASE(3, 3), RELEASE(3, 4)
	};
	LibraryModel loaded = {0};
	Buffer		ubjson = {0};
	Imported	again;
	int			release = releases[trial->hash % (sizeof(releases) / sizeof(releases[0]))];

	if (trial->imported.rounds > 0)
		return;
	dialect_write(trial->imported.model, release, &ubjson, &loaded);
	import_model(ubjson.data, ubjson.size, false, trial->imported.source.missing, false, &again);
	if (loaded.read_as.size == 0 &&
		(again.image_size != trial->imported.image_size ||
		 memcmp(again.image, trial->imported.image, again.image_size) != 0))
		fuzz_fail("written for libxgboost %d.%d the model is another one",
				  release / 1000, release % 1000);
}

/* ---- a trial ---- */

/* How far a trial has come, to tell a refusal of the file from one of ours. */
static bool is_imported;

static void
run_trial(void *argument)
{
	Trial	   *trial = argument;
	static const float missing[] = {NAN, NAN, NAN, 0.0f, -999.0f, INFINITY, -INFINITY, 1.0f};

	is_imported = false;
	import_model(trial->bytes, trial->size,
				 trial->size > 1 && trial->hash % 8 == 0, missing[trial->hash / 8 % 8],
				 trial->hash / 64 % 4 == 0, &trial->imported);
	is_imported = true;
	try_scores(trial);
	try_report(trial);
	try_dialects(trial);
}

/* Parse a refusal: one object of three texts. */
static void
read_refusal(void *argument)
{
	const char *line = argument;
	const Value *document = document_parse_json(line, strlen(line));
	const Value *message = document_member(document, "error");
	const Value *kind = document_member(document, "kind");
	const Value *hint = document_member(document, "hint");

	if (message == NULL || message->kind != VALUE_STRING || message->count == 0)
		fuzz_fail("a refusal has no message: %s", line);
	if (message->as.string[message->count - 1] == '.')
		fuzz_fail("a message ends with a full stop: %s", line);
	if (kind == NULL || kind->kind != VALUE_STRING || kind->count == 0 || hint == NULL ||
		(hint->kind != VALUE_NULL && hint->kind != VALUE_STRING))
		fuzz_fail("a refusal has no kind or hint: %s", line);
}

/* Is there something in the text that looks like an address? */
static bool
has_address(const char *text)
{
	for (const char *at = strstr(text, "0x"); at != NULL; at = strstr(at + 1, "0x"))
	{
		if (strspn(at + 2, "0123456789abcdef") >= 6)
			return true;
	}
	return false;
}

/* A refusal is what the server expects. */
static void
check_refusal(const Trial *trial, const char *refusal)
{
	char		line[8192];
	const char *ignored;

	snprintf(line, sizeof(line), "%s", refusal);
	if (is_imported)
		fuzz_fail("what we wrote ourselves is refused: %s", line);
	if (!text_is_valid(line, strlen(line)) || strchr(line, '\n') != line + strlen(line) - 1)
		fuzz_fail("a refusal is not one line of UTF-8");
	if (has_address(line) && memmem(trial->bytes, trial->size, "0x", 2) == NULL)
		fuzz_fail("a refusal has an address in it: %s", line);
	if (!guard_run(read_refusal, line, (GuardMemory){.has_region = true}, &ignored))
		fuzz_fail("a refusal is not JSON: %s", line);
}

/* Once more, with an allocation that fails. */
static void
try_without_memory(Trial *trial)
{
	unsigned long long count = guard_allocations();
	unsigned long long failing = count == 0 ? 0 : 1 + trial->hash / 256 % count;
	GuardMemory memory = {trial->hash / 128 % 2, failing};
	const char *refusal;

	if (count == 0 || (trial->size > 65536 && trial->hash % 16 != 0))
		return;
	if (guard_run(run_trial, trial, memory, &refusal))
		fuzz_fail("allocation %llu of %llu can fail without a refusal", failing, count);
	if (strstr(refusal, "\"kind\": \"limit\"") == NULL)
		fuzz_fail("failed allocation %llu of %llu: %s", failing, count, refusal);
}

/* See fuzz.h. */
bool
fuzz_try(const char *bytes, size_t size)
{
	char	   *copy = malloc(size);	/* of exactly this size */
	Trial		trial = {.bytes = copy,.size = size,.hash = hash_of(bytes, size)};
	const char *refusal;
	bool		is_taken;

	if (size > 0)
		memcpy(copy, bytes, size);
	is_taken = guard_run(run_trial, &trial,
						 (GuardMemory){.has_region = trial.hash / 128 % 2}, &refusal);
	if (is_taken)
		try_without_memory(&trial);
	else
		check_refusal(&trial, refusal);
	free(copy);
	return is_taken;
}
