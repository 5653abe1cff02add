/*
 * report.h
 *		What an import tells: one line of JSON for the server, or a page for
 *		people.
 */
#ifndef IMPORT_REPORT_H
#define IMPORT_REPORT_H

#include <stdio.h>

#include "certify.h"

/* What the splits on a feature add up to: what XGBoost's get_score() is made of. */
typedef struct Importance
{
	uint64_t	splits;
	double		gain;			/* NaN: the file does not tell */
	double		cover;			/* likewise */
} Importance;

typedef struct Report
{
	const Model *model;
	const ForestHeader *header; /* of the image */
	const Certificate *certificate;
	const char *release_text;	/* of the file, which may be a converted one */
	int64_t		used_rounds;
	const Importance *importance;	/* [num_features] */
} Report;

/* The importance of each feature in the first trees of a model. */
extern const Importance *report_importance(const Model *model, uint32_t num_trees);

extern void report_as_json(const Report *report, FILE *stream);
extern void report_as_text(const Report *report, FILE *stream);

#endif							/* IMPORT_REPORT_H */
