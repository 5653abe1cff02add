/*
 * live_index.h
 *		How an index leads from a key to its events.
 */
#ifndef PG_RISK_LIVE_INDEX_H
#define PG_RISK_LIVE_INDEX_H

#include "postgres.h"

#include "access/genam.h"
#include "access/sdir.h"
#include "access/skey.h"
#include "utils/relcache.h"

#include "live_query.h"

struct LiveIndex
{
	Oid			index;			/* InvalidOid: there is none that serves */
	TransactionId not_before;	/* older snapshots may find it wrong (indcheckxmin) */
	ScanDirection direction;	/* in which it is in order of time */
	ScanKeyData *keys;			/* [num_keys + 2]: key, lower, upper */
	int		   *key_of;			/* [num_keys]: which of the query's is the index's */
	AttrNumber	time;
	Oid			time_type;		/* of that column */
	AttrNumber *columns;		/* of values, ids, and what conditions need */
	AttrNumber	last;			/* the last of all these */
	AttrNumber *stored;			/* the same columns in the index; */
	bool		covers;			/* it has all of them */
	Datum	   *values;
	bool	   *nulls;
};

extern LiveIndex *live_index_find(const LiveQuery *query, bool partition);
extern bool live_index_serves(const LiveIndex *index);
extern Relation live_index_open(const LiveIndex *by);
extern void live_index_begin(LiveIndex *by, IndexScanDesc scan, int n, const Datum *key, int64 lower, int64 upper);

#endif							/* PG_RISK_LIVE_INDEX_H */
