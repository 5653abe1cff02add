/*
 * scorer.h
 *		A version, ready to score rows of features.
 */
#ifndef PG_RISK_SCORER_H
#define PG_RISK_SCORER_H

#include "problem.h"
#include "version.h"

typedef struct Scorer
{
	Version    *version;
	uint64		forgotten;		/* versions, when this one was got */
	int			output;			/* which one is the score; -1: none that is known */
	float	   *margins;		/* of the last row, [num_outputs] */
	float	   *predictions;	/* likewise, after transformation */
	void	   *scratch;
	Size		scratch_size;
} Scorer;

extern bool scorer_open(Scorer *scorer, int64 version_id, int positive_class, Problem *problem);
extern bool scorer_open_again(Scorer *scorer);
extern void scorer_margins(Scorer *scorer, const float *features);
extern bool scorer_has_output(const Scorer *scorer, Problem *problem);
extern double scorer_score_of(Scorer *scorer, const float *margins);
extern bool scorer_score(Scorer *scorer, double *score, Problem *problem);
extern bool scorer_time(Scorer *scorer, const float *features, double *score, float *latency_us, Problem *problem);

#endif							/* PG_RISK_SCORER_H */
