/*
 * predict.c
 *		Score rows with the forest; score the rows of a CSV file, with the
 *		forest or with libxgboost.
 *
 * The CSV file: a line with names, then lines with one value for each feature in the
 * model's order; nothing between two commas is missing.  Output: margins and
 * predictions, or contributions, with nine digits.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "predict.h"
#include "refusal.h"

static const char rows_hint[] =
"Give a line with names, then one value for each feature, in the model's order.";

/* One line into a row of values. */
static void
parse_row(char *line, size_t number, uint32_t num_features, float *row)
{
	char	   *at = line;

	line[strcspn(line, "\r\n")] = '\0';
	for (uint32_t f = 0; f < num_features; f++)
	{
		char	   *end;

		if (f > 0 && *at++ != ',')
			refuse(REFUSE_MALFORMED, rows_hint, "line %zu has fewer than %u values",
				   number, num_features);
		row[f] = strtof(at, &end);
		if (end == at)
			row[f] = NAN;
		at = end;
		if (*at != ',' && *at != '\0')
			refuse(REFUSE_MALFORMED, rows_hint, "line %zu, value %u is not a number",
				   number, f + 1);
	}
	if (*at != '\0')
		refuse(REFUSE_MALFORMED, rows_hint, "line %zu has more than %u values",
			   number, num_features);
}

/* All rows of a stream. */
static uint32_t
read_rows(FILE *stream, uint32_t num_features, Buffer *rows)
{
	char	   *line = NULL;
	size_t		capacity = 0;
	size_t		number = 0;
	uint32_t	count = 0;

	while (getline(&line, &capacity, stream) >= 0)
	{
		number++;
		if (number == 1)
			continue;
		buffer_reserve(rows, num_features * sizeof(float));
		parse_row(line, number, num_features, (float *) (void *) (rows->data + rows->size));
		rows->size += num_features * sizeof(float);
		count++;
	}
	if (ferror(stream) || number == 0)
		refuse(REFUSE_MALFORMED, rows_hint, "could not read rows");
	free(line);
	return count;
}

/* See predict.h. */
void
predict_with_forest(const void *image, const float *rows, uint32_t num_rows,
					float *margins, float *predictions)
{
	Forest		forest;
	uint32_t	num_outputs;
	uint32_t	num_predictions;
	void	   *scratch;
	float	   *transformed;

	forest_open(&forest, image);
	num_outputs = forest.header->num_outputs;
	num_predictions = forest_num_predictions(&forest);
	scratch = region_get(forest_scratch_size(&forest), 1);
	transformed = region_get(num_outputs, sizeof(float));
	for (uint32_t i = 0; i < num_rows; i++)
	{
		float	   *row_margins = margins + (size_t) i * num_outputs;

		forest_margins(&forest, rows + (size_t) i * forest.header->num_features,
					   scratch, row_margins);
		forest_transform(&forest, row_margins, transformed);
		memcpy(predictions + (size_t) i * num_predictions, transformed,
			   num_predictions * sizeof(float));
	}
}

/* The header line and the values. */
static void
write_rows(FILE *output, uint32_t num_rows, const float *margins, uint32_t num_outputs,
		   const float *predictions, uint32_t num_predictions)
{
	for (uint32_t k = 0; k < num_outputs; k++)
		fprintf(output, "%smargin_%u", k == 0 ? "" : ",", k);
	for (uint32_t k = 0; k < num_predictions; k++)
		fprintf(output, ",pred_%u", k);
	fputc('\n', output);
	for (uint32_t i = 0; i < num_rows; i++)
	{
		for (uint32_t k = 0; k < num_outputs; k++)
			fprintf(output, "%s%.9g", k == 0 ? "" : ",",
					(double) margins[(size_t) i * num_outputs + k]);
		for (uint32_t k = 0; k < num_predictions; k++)
			fprintf(output, ",%.9g",
					(double) predictions[(size_t) i * num_predictions + k]);
		fputc('\n', output);
	}
}

/* See predict.h. */
void
predict(const Model *model, const ForestSource *source, const void *image,
		int64_t rounds, bool with_library, FILE *input, FILE *output)
{
	Buffer		rows = {0};
	uint32_t	num_rows = read_rows(input, model->num_features, &rows);
	Forest		forest;
	uint32_t	num_predictions;
	float	   *margins;
	float	   *predictions;

	forest_open(&forest, image);
	num_predictions = forest_num_predictions(&forest);
	margins = region_get((size_t) num_rows * model->num_outputs, sizeof(float));
	predictions = region_get((size_t) num_rows * num_predictions, sizeof(float));
	if (with_library && num_rows > 0)
	{
		LibraryModel loaded;

		library_load(model, &loaded);
		if (!loaded.has_objective)
			num_predictions = 0;
		library_predict(&loaded, (const float *) (const void *) rows.data, num_rows,
						source->missing, rounds, margins,
						loaded.has_objective ? predictions : NULL, num_predictions);
	}
	else
		predict_with_forest(image, (const float *) (const void *) rows.data, num_rows,
							margins, predictions);
	write_rows(output, num_rows, margins, model->num_outputs, predictions, num_predictions);
}

/* Contributions of rows by the forest, [num_rows][num_outputs][num_features + 1]. */
static void
contribute_with_forest(const void *image, const float *rows, uint32_t num_rows,
					   float *contributions)
{
	Forest		forest;
	uint32_t	width;
	void	   *scratch;
	double	   *values;

	forest_open(&forest, image);
	if (!forest_explains(&forest))
		refuse(REFUSE_UNSUPPORTED, "Save the model with a release of XGBoost that writes sum_hessian for trees of this kind.",
			   "model does not tell the covers of its nodes");
	width = forest.header->num_features + 1;
	scratch = region_get(forest_contributions_scratch_size(&forest), 1);
	values = region_get(width, sizeof(double));
	for (uint32_t i = 0; i < num_rows; i++)
	{
		for (uint32_t k = 0; k < forest.header->num_outputs; k++)
		{
			forest_contributions(&forest, rows + (size_t) i * forest.header->num_features,
								 k, scratch, values);
			for (uint32_t f = 0; f < width; f++)
				*contributions++ = (float) values[f];
		}
	}
}

/* See predict.h. */
void
contribute(const Model *model, const ForestSource *source, const void *image,
		   int64_t rounds, bool with_library, FILE *input, FILE *output)
{
	Buffer		buffer = {0};
	uint32_t	num_rows = read_rows(input, model->num_features, &buffer);
	const float *rows = (const float *) (const void *) buffer.data;
	size_t		width = (size_t) model->num_outputs * (model->num_features + 1);
	float	   *contributions = region_get(num_rows * width, sizeof(float));

	if (with_library && num_rows > 0)
	{
		LibraryModel loaded;

		library_load(model, &loaded);
		library_contributions(&loaded, rows, num_rows, source->missing, rounds, contributions);
	}
	else
		contribute_with_forest(image, rows, num_rows, contributions);
	for (uint32_t k = 0; k < model->num_outputs; k++)
	{
		for (uint32_t f = 0; f < model->num_features; f++)
			fprintf(output, "%scontribution_%u_%u", k + f == 0 ? "" : ",", k, f);
		fprintf(output, ",expected_%u", k);
	}
	fputc('\n', output);
	for (size_t i = 0; i < num_rows * width; i++)
		fprintf(output, "%.9g%c", (double) contributions[i], (i + 1) % width == 0 ? '\n' : ',');
}
