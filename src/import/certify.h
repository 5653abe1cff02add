/*
 * certify.h
 *		The proof that our reading of a model and libxgboost's are one.
 */
#ifndef IMPORT_CERTIFY_H
#define IMPORT_CERTIFY_H

#include "library.h"

typedef struct Certificate
{
	const char *library;		/* version */
	const char *read_as;		/* LibraryModel.read_as */
	bool		objective_checked;
	uint32_t	probes;			/* rows */
	uint64_t	margins_compared;
	uint64_t	margins_equal;	/* bit for bit */
	uint64_t	predictions_compared;
	uint32_t	max_ulp;		/* largest distance of two predictions */
	uint64_t	nodes_visited;
	uint64_t	on_threshold;	/* values of probes, by what is special */
	uint64_t	beside_threshold;
	uint64_t	missing_values;
	uint64_t	unseen_categories;
} Certificate;

/*
 * Rows that try a model: [num_rows][num_features].
 */
typedef struct Probes
{
	uint32_t	num_rows;
	float	   *rows;
} Probes;

/* probes.c: make at most max_rows of them, the same for the same source. */
extern void probes_make(const ForestSource *source, const Model *model,
						uint32_t max_rows, uint64_t seed, Probes *probes,
						Certificate *certificate);

/*
 * Score probes with the forest and with libxgboost; refuses ("uncertified")
 * unless all margins are equal and all predictions within one unit in the
 * last place.
 */
extern void certify(const Model *model, const ForestSource *source, const void *image,
					int64_t rounds, Certificate *certificate);

#endif							/* IMPORT_CERTIFY_H */
