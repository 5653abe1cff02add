/*
 * predict.h
 *		Scoring rows: of an array, and of a CSV file by hand.
 */
#ifndef IMPORT_PREDICT_H
#define IMPORT_PREDICT_H

#include <stdio.h>

#include "library.h"

/*
 * Margins, [num_rows][num_outputs], and predictions, [num_rows][num_predictions],
 * of rows by the forest.
 */
extern void predict_with_forest(const void *image, const float *rows, uint32_t num_rows,
								float *margins, float *predictions);

/* Score all rows of input with the first rounds (0: all) of the model. */
extern void predict(const Model *model, const ForestSource *source, const void *image,
					int64_t rounds, bool with_library, FILE *input, FILE *output);

/* Contributions to the margins of all rows of input, likewise; refuses a model
 * that cannot be explained. */
extern void contribute(const Model *model, const ForestSource *source, const void *image,
					   int64_t rounds, bool with_library, FILE *input, FILE *output);

#endif							/* IMPORT_PREDICT_H */
