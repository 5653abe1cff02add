/*
 * tiling.h
 *		Which sets of rolling features have tiles: running totals of their keys.
 */
#ifndef PG_RISK_TILING_H
#define PG_RISK_TILING_H

#include "postgres.h"

#include "access/transam.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#include "extrema.h"
#include "live_query.h"
#include "totals.h"

/* As many bytes as a key can have, its header included. */
#define TILING_KEY_BYTES	512

/* A set of rolling features, and its tiles. */
typedef struct Tiling
{
	LiveQuery  *query;			/* of all features of the set */
	int			num_columns;	/* that are added up */
	TotalsColumn *columns;
	int		   *values;			/* [num_columns]: which of the query's */
	int			num_extrema;	/* 0: its tiles have no numbers */
	Extremum   *extrema;		/* those of a column together */
	int		   *extrema_values; /* [num_extrema]: which of the query's */
	LiveQuery  *counted;		/* of the features that count different values and
								 * can be answered (distinct.c); NULL: none */
	bool		footing_known;
	bool		stands;			/* could tiles of its events be trusted? */
	const char *obstacle;		/* why not, if triggers would not help; or NULL */
	int64		footing;		/* what they would rest on */

	/* The row of risk.rolling_tilings; id 0: there is none. */
	int32		id;
	int64		planned;		/* rows before this time leave a delta */
	FullTransactionId fence;	/* invalid: not set */
	int64		built;			/* tiles can be of what is before this time */
	int64		stored_footing;
	ItemPointerData row;
	TransactionId written_by;
} Tiling;

/* Tables of tiles, and the indexes they are read through. */
typedef struct TilingTables
{
	Oid			tilings;
	Oid			tilings_pkey;
	Oid			tilings_set_key;
	Oid			ids;
	Oid			tiles;
	Oid			tiles_pkey;
	Oid			tiles_seq;
	Oid			deltas;
	Oid			deltas_key;
	Oid			distincts;
	Oid			distincts_pkey;
} TilingTables;

extern void tiling_init(void);

/* Changes whenever tilings may have changed; what the functions below return is
 * good for as long as it has not. */
extern uint64 tiling_generation(void);
extern const TilingTables *tiling_tables(void);
extern List *tiling_list(Oid relid, int64 *late_before);
extern Tiling *tiling_find(Oid source, const char *set);

/* What keeps lookups from being answered by tiles, but for triggers: why there can be
 * none, what index is missing, or what condition tiles do not know; NULL: nothing. */
extern char *tiling_problem(Oid source, const char *set);

/* The column of event time. */
extern const char *tiling_time(const Tiling *tiling);

/* Could tiles of its events be trusted?  Then footing is known. */
extern bool tiling_stands(Tiling *tiling);

/* Is the row of a tiling there for the active snapshot? */
extern bool tiling_visible(const Tiling *tiling);

/* The key of an event as bytes, equal for equal keys; NULL: this one has no tiles. */
extern bytea *tiling_key(const LiveQuery *query, const Datum *key);
extern void tiling_key_values(const LiveQuery *query, const bytea *bytes, Datum *key);

/* The same of one value: append its bytes; take them from data on, false: there are
 * no such bytes. */
extern void tiling_put_value(StringInfo bytes, Oid type, Datum value);
extern bool tiling_get_value(const char **data, const char *end, Oid type, Datum *value);

#endif							/* PG_RISK_TILING_H */
