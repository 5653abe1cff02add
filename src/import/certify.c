/*
 * certify.c
 *		The proof that our reading of a model and libxgboost's are one.
 *
 * Both score the same probes.  Margins must be equal bit for bit; predictions,
 * which go through expf() of two compilers, within one unit in the last place.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "certify.h"
#include "predict.h"
#include "refusal.h"

#define MAX_PROBES		1024
#define MIN_PROBES		16
#define MAX_CELLS		(UINT32_C(1) << 22)	/* of all rows */
#define MAX_STEPS		(UINT64_C(1) << 28)	/* of all rows through all trees */
#define MAX_ULP			1

/* FNV-1a of the image: the seed of the probes (Fowler, Noll, Vo). */
static uint64_t
hash_bytes(const void *bytes, size_t size)
{
	uint64_t	hash = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ ((const unsigned char *) bytes)[i]) * UINT64_C(0x100000001B3);
	return hash;
}

/* As many rows as time and memory allow: fewer for wide or very big models. */
static uint32_t
choose_num_probes(const Forest *forest)
{
	uint64_t	steps = 1;
	uint64_t	cells = forest->header->num_features;
	uint64_t	rows = MAX_PROBES;

	for (uint32_t t = 0; t < forest->header->num_trees; t++)
		steps += forest->trees[t].depth + 1;
	if (cells < forest->header->num_outputs)
		cells = forest->header->num_outputs;
	if (rows > MAX_STEPS / steps)
		rows = MAX_STEPS / steps;
	if (rows < MIN_PROBES)
		rows = MIN_PROBES;
	if (rows > MAX_CELLS / cells)
		rows = MAX_CELLS / cells;
	return (uint32_t) rows;
}

/* Distance of two floats in units in the last place. */
static uint32_t
ulp_distance(float a, float b)
{
	int32_t		bits[2];
	int64_t		order[2];
	int64_t		distance;

	if (memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b)))
		return 0;
	if (isnan(a) || isnan(b))
		return UINT32_MAX;
	memcpy(&bits[0], &a, sizeof(a));
	memcpy(&bits[1], &b, sizeof(b));
	for (int i = 0; i < 2; i++)
		order[i] = bits[i] >= 0 ? bits[i] : -(int64_t) (bits[i] & INT32_MAX);
	distance = order[0] > order[1] ? order[0] - order[1] : order[1] - order[0];
	return distance > UINT32_MAX ? UINT32_MAX : (uint32_t) distance;
}

/* Compare both readings' values; refuse when they are not as they must be. */
static void
compare_readings(float *const margins[2], size_t num_margins, float *const predictions[2],
				 size_t num_predictions, Certificate *certificate)
{
	static const char hint[] =
	"Save the model with the installed release of XGBoost, or report it to the authors of pg_risk.";

	certificate->margins_compared = num_margins;
	for (size_t i = 0; i < num_margins; i++)
		certificate->margins_equal += memcmp(&margins[0][i], &margins[1][i],
											 sizeof(float)) == 0;
	certificate->predictions_compared = num_predictions;
	for (size_t i = 0; i < num_predictions; i++)
	{
		uint32_t	ulp = ulp_distance(predictions[0][i], predictions[1][i]);

		if (ulp > certificate->max_ulp)
			certificate->max_ulp = ulp;
	}
	if (certificate->margins_equal != certificate->margins_compared)
		refuse(REFUSE_UNCERTIFIED, hint,
			   "%llu of %llu margins differ from those of libxgboost %s",
			   (unsigned long long) (num_margins - certificate->margins_equal),
			   (unsigned long long) num_margins, certificate->library);
	if (certificate->max_ulp > MAX_ULP)
		refuse(REFUSE_UNCERTIFIED, hint,
			   "predictions differ from those of libxgboost %s by up to %u units in the last place",
			   certificate->library, certificate->max_ulp);
}

/* See certify.h. */
void
certify(const Model *model, const ForestSource *source, const void *image,
		int64_t rounds, Certificate *certificate)
{
	LibraryModel loaded;
	Forest		forest;
	Probes		probes;
	uint32_t	num_predictions;
	size_t		num_margins;
	size_t		num_values;
	float	   *margins[2];
	float	   *predictions[2];

	memset(certificate, 0, sizeof(*certificate));
	forest_open(&forest, image);
	num_predictions = forest_num_predictions(&forest);
	probes_make(source, model, choose_num_probes(&forest),
				hash_bytes(image, forest.header->image_size), &probes, certificate);
	num_margins = (size_t) probes.num_rows * model->num_outputs;
	num_values = (size_t) probes.num_rows * num_predictions;
	for (int i = 0; i < 2; i++)
	{
		margins[i] = region_get(num_margins, sizeof(float));
		predictions[i] = region_get(num_values, sizeof(float));
	}
	predict_with_forest(image, probes.rows, probes.num_rows, margins[0], predictions[0]);
	library_load(model, &loaded);
	library_predict(&loaded, probes.rows, probes.num_rows, source->missing, rounds,
					margins[1], loaded.has_objective ? predictions[1] : NULL,
					num_predictions);

	certificate->library = library_version();
	certificate->read_as = region_get_string(loaded.read_as.data, loaded.read_as.size);
	certificate->objective_checked = loaded.has_objective;
	certificate->probes = probes.num_rows;
	compare_readings(margins, num_margins, predictions,
					 loaded.has_objective ? num_values : 0, certificate);
}
