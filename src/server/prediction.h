/*
 * prediction.h
 *		A transaction as it was scored, by one version or several, and the rows
 *		of risk.predictions that it becomes.
 */
#ifndef PG_RISK_PREDICTION_H
#define PG_RISK_PREDICTION_H

#include "route.h"
#include "subject.h"

/* What one version made of a transaction.  What stands before the pointers is also its
 * form in the queue; see shadow.c. */
typedef struct Outcome
{
	int64		version_id;		/* 0: no version (ROLE_FALLBACK) */
	double		score;
	float		latency_us;
	int			output;			/* which one of the version's is the score */
	int			num_features;
	VersionRole role;
	bool		reference;		/* the champion's, beside a canary's decision: no
								 * row of its own */
	bool		pending;		/* to be scored from its features */
	bool		scored;

	const char *version;		/* name; NULL: no version, or not known yet */
	const char *error;			/* why it has no score; NULL: it has, or will */
	const float *features;		/* NULL: they could not be had */
} Outcome;

/* Likewise. */
typedef struct ScoredTransaction
{
	TimestampTz scored_at;
	TransactionId xid;			/* that stands or falls with it, or none */
	FeatureLog	log_features;
	bool		in_trigger;		/* else in a query */
	int			num_outcomes;

	const char *model;
	Subject		subject;
	Outcome    *outcomes;		/* the champion's, if there is one, is among them */
} ScoredTransaction;

/* Can this server write predictions itself, or is it a standby? */
extern bool prediction_writable(void);

extern void prediction_write(const ScoredTransaction *transactions, int count);
extern void prediction_flushed(TimestampTz popped_until);

#endif							/* PG_RISK_PREDICTION_H */
