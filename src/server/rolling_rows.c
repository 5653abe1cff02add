/*
 * rolling_rows.c
 *		Rows that come in any order and go in that of key and time.
 *
 * Keys get numbers as they come.  When all rows are there, those of one key are
 * put side by side; they are brought in order of time when their turn comes, and
 * are in the processor's cache from then on.  As soon as that takes more than
 * work_mem, rows go through PostgreSQL's sort instead, with files.  The numbers of
 * the different keys are always in memory.
 *
 * Rows without a key, and those without a time, are a key's as well.
 */
#include "postgres.h"

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

#include "rolling_names.h"
#include "rolling_rows.h"
#include "rolling_run.h"

#define LEAST_ROWS		1024
#define AHEAD			8		/* rows that are fetched into the cache early */

/* Numbers of no keys. */
enum
{
	NO_KEY,
	NO_TIME,
	FIRST_KEY
};

/* ---- numbers of keys ---- */

/* A value of a key's column, after those of the columns before. */
typedef struct Part
{
	uint64		value;			/* its number */
	uint32		before;			/* theirs */
} Part;

typedef struct KeyEntry
{
	Part		part;
	uint32		number;
	char		status;
} KeyEntry;

#define SH_PREFIX key
#define SH_ELEMENT_TYPE KeyEntry
#define SH_KEY_TYPE Part
#define SH_KEY part
#define SH_HASH_KEY(tb, key) \
	((uint32) (((key).value * UINT64CONST(0x9E3779B97F4A7C15) ^ (key).before) * UINT64CONST(0xD6E8FEB86659FD93) >> 32))
#define SH_EQUAL(tb, a, b) ((a).value == (b).value && (a).before == (b).before)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Record
{
	int64		time;
	uint32		key;
	bool		nulls[FLEXIBLE_ARRAY_MEMBER];
} Record;

struct RollingRows
{
	MemoryContext context;
	MemoryContext data;			/* what values point to */
	int			num_keys;
	Oid			time_type;
	int			num_values;
	TupleDesc	values;
	RollingIds **numbers;		/* [num_keys] of a column's values */
	struct key_hash *keys;
	uint32		next_key;
	int64		range[2];		/* of times */

	/* in memory: */
	char	   *records;		/* [capacity] Record, values_at */
	Size		record_size;
	Size		values_at;
	bool		plain;			/* no value points to anything */
	Size		count;
	Size		capacity;
	Size		used;			/* bytes */
	Size	   *ends;			/* [next_key] of the key's records, once sorted */

	/* or not: */
	Tuplesortstate *sort;
	TupleTableSlot *in;			/* key, time, values */
	TupleTableSlot *out;

	/* where reading is */
	uint32		key;
	Size		begin;			/* of the key's records, */
	Size		size;			/* how many they are, */
	Size		next;			/* and which of them is next */
	RollingPlace *order;		/* NULL: as they stand */
	RollingPlace *places;		/* [2 * num_places] */
	Size		num_places;
};

RollingRows *
rolling_rows_create(MemoryContext context, TupleDesc source, int num_keys, TupleDesc values)
{
	MemoryContext before = MemoryContextSwitchTo(context);
	RollingRows *rows = palloc0(sizeof(RollingRows));

	rows->context = context;
	rows->data = GenerationContextCreate(context, "pg_risk rows", ALLOCSET_DEFAULT_SIZES);
	rows->num_keys = num_keys;
	rows->num_values = values->natts;
	rows->values = values;
	rows->time_type = getBaseType(TupleDescAttr(source, num_keys)->atttypid);
	rows->numbers = palloc(num_keys * sizeof(RollingIds *));
	for (int i = 0; i < num_keys; i++)
		rows->numbers[i] = rolling_ids_create(context, getBaseType(TupleDescAttr(source, i)->atttypid),
											  TupleDescAttr(source, i)->attcollation);
	rows->keys = key_create(context, LEAST_ROWS, NULL);
	rows->next_key = FIRST_KEY;
	rows->range[0] = PG_INT64_MAX;
	rows->range[1] = PG_INT64_MIN;
	rows->values_at = MAXALIGN(offsetof(Record, nulls) + rows->num_values * sizeof(bool));
	rows->record_size = rows->values_at + rows->num_values * sizeof(Datum);
	rows->plain = true;
	for (int i = 0; i < values->natts; i++)
		rows->plain &= TupleDescAttr(values, i)->attbyval;
	MemoryContextSwitchTo(before);
	return rows;
}

/* The number of a row's key. */
static uint32
key_of(RollingRows *rows, const TupleTableSlot *slot)
{
	uint32		number = NO_KEY;

	for (int i = 0; i < rows->num_keys; i++)
	{
		Part		part = {.before = number};
		KeyEntry   *entry;
		bool		found;

		if (slot->tts_isnull[i])
			return NO_KEY;
		part.value = rolling_ids_number(rows->numbers[i], slot->tts_values[i], false, ROLLING_ALL_IDS);
		entry = key_insert(rows->keys, part, &found);
		if (!found)
		{
			if (rows->next_key == PG_UINT32_MAX)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("there are too many different keys")));
			entry->number = rows->next_key++;
		}
		number = entry->number;
	}
	return number;
}

/* ---- rows ---- */

static inline Record *
record_of(const RollingRows *rows, Size row)
{
	return (Record *) (rows->records + row * rows->record_size);
}

static inline Datum *
values_of(const RollingRows *rows, const Record *record)
{
	return (Datum *) ((char *) record + rows->values_at);
}

/* Give a row to the sort with files. */
static void
put(RollingRows *rows, uint32 key, int64 time, const Datum *values, const bool *nulls)
{
	ExecClearTuple(rows->in);
	rows->in->tts_values[0] = Int64GetDatum(key);
	rows->in->tts_values[1] = Int64GetDatum(time);
	memcpy(rows->in->tts_values + 2, values, rows->num_values * sizeof(Datum));
	memcpy(rows->in->tts_isnull + 2, nulls, rows->num_values * sizeof(bool));
	ExecStoreVirtualTuple(rows->in);
	tuplesort_puttupleslot(rows->sort, rows->in);
}

/* There is no more memory: all rows go to the sort with files. */
static void
change_to_files(RollingRows *rows)
{
	TupleDesc	sorted = CreateTemplateTupleDesc(rows->num_values + 2);
	AttrNumber	by[] = {1, 2};
	Oid			operators[] = {Int8LessOperator, Int8LessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};

	TupleDescInitEntry(sorted, 1, "key", INT8OID, -1, 0);
	TupleDescInitEntry(sorted, 2, "time", INT8OID, -1, 0);
	for (int i = 0; i < rows->num_values; i++)
		TupleDescCopyEntry(sorted, i + 3, rows->values, i + 1);
	rows->in = MakeSingleTupleTableSlot(sorted, &TTSOpsVirtual);
	memset(rows->in->tts_isnull, false, sorted->natts);
	rows->out = MakeSingleTupleTableSlot(sorted, &TTSOpsMinimalTuple);
	rows->sort = tuplesort_begin_heap(sorted, lengthof(by), by, operators, collations, nulls_first,
									  work_mem, NULL, TUPLESORT_RANDOMACCESS);
	for (Size i = 0; i < rows->count; i++)
	{
		const Record *record = record_of(rows, i);

		put(rows, record->key, record->time, values_of(rows, record), record->nulls);
	}
	if (rows->records != NULL)
		pfree(rows->records);
	MemoryContextReset(rows->data);
}

/* Count the bytes of one more row: a copy of it, or places of its key, in the end.
 * False: there is no room for it. */
static bool
make_room(RollingRows *rows, const Datum *values, const bool *nulls)
{
	rows->used += rows->record_size + Max(rows->record_size, 2 * sizeof(RollingPlace));
	for (int i = 0; i < rows->num_values && !rows->plain; i++)
	{
		Form_pg_attribute column = TupleDescAttr(rows->values, i);

		if (!column->attbyval && !nulls[i])
			rows->used += MAXALIGN(datumGetSize(values[i], false, column->attlen)) + MAXIMUM_ALIGNOF;
	}
	if (rows->used > work_mem * (Size) 1024 || rows->count == PG_UINT32_MAX)
		return false;
	if (rows->count == rows->capacity)
	{
		rows->capacity = Max(rows->capacity * 2, LEAST_ROWS);
		if (rows->records == NULL)
			rows->records = MemoryContextAllocHuge(rows->context, rows->capacity * rows->record_size);
		else
			rows->records = repalloc_huge(rows->records, rows->capacity * rows->record_size);
	}
	return true;
}

/* Keep a row in memory. */
static void
keep(RollingRows *rows, uint32 key, int64 time, const Datum *values, const bool *nulls)
{
	Record	   *record = record_of(rows, rows->count++);
	Datum	   *kept = values_of(rows, record);

	record->time = time;
	record->key = key;
	MemoryContextSwitchTo(rows->data);
	for (int i = 0; i < rows->num_values; i++)
	{
		Form_pg_attribute column = TupleDescAttr(rows->values, i);

		record->nulls[i] = nulls[i];
		kept[i] = column->attbyval || nulls[i] ? values[i] : datumCopy(values[i], false, column->attlen);
	}
}

void
rolling_rows_add(RollingRows *rows, const TupleTableSlot *source, const Datum *values, const bool *nulls)
{
	MemoryContext before;
	uint32		key = NO_TIME;
	int64		time = 0;

	if (!source->tts_isnull[rows->num_keys])
	{
		key = key_of(rows, source);
		time = rolling_time(source->tts_values[rows->num_keys], rows->time_type);
		rows->range[0] = Min(rows->range[0], time);
		rows->range[1] = Max(rows->range[1], time);
	}
	before = MemoryContextSwitchTo(rows->context);
	if (rows->sort == NULL && !make_room(rows, values, nulls))
		change_to_files(rows);
	if (rows->sort != NULL)
		put(rows, key, time, values, nulls);
	else
		keep(rows, key, time, values, nulls);
	MemoryContextSwitchTo(before);
}

/* Put the records of a key side by side. */
static void
group(RollingRows *rows)
{
	char	   *grouped = MemoryContextAllocHuge(rows->context, Max(rows->count, 1) * rows->record_size);
	Size	   *begin = MemoryContextAllocHuge(rows->context, rows->next_key * sizeof(Size));
	Size		sum = 0;

	memset(begin, 0, rows->next_key * sizeof(Size));
	for (Size i = 0; i < rows->count; i++)
		begin[record_of(rows, i)->key]++;
	for (uint32 key = 0; key < rows->next_key; key++)
	{
		Size		size = begin[key];

		begin[key] = sum;
		sum += size;
	}
	for (Size i = 0; i < rows->count; i++)
	{
		const Record *record = record_of(rows, i);
		uint64	   *to = (uint64 *) (grouped + begin[record->key]++ * rows->record_size);

		for (Size k = 0; k < rows->record_size / sizeof(uint64); k++)
			to[k] = ((const uint64 *) record)[k];
	}
	if (rows->records != NULL)
		pfree(rows->records);
	rows->records = grouped;
	rows->ends = begin;
}

void
rolling_rows_sort(RollingRows *rows)
{
	if (rows->sort != NULL)
		tuplesort_performsort(rows->sort);
	else
		group(rows);
}

/* Bring the records of a key in order of time. */
static void
order_key(RollingRows *rows)
{
	bool		in_order = true;

	rows->order = NULL;
	for (Size i = 1; i < rows->size && in_order; i++)
		in_order = record_of(rows, rows->begin + i - 1)->time <= record_of(rows, rows->begin + i)->time;
	if (in_order)
		return;
	if (rows->num_places < rows->size)
	{
		if (rows->places != NULL)
			pfree(rows->places);
		rows->num_places = rows->size;
		rows->places = MemoryContextAllocHuge(rows->context, 2 * rows->size * sizeof(RollingPlace));
	}
	for (Size i = 0; i < rows->size; i++)
		rows->places[i] = (RollingPlace) {record_of(rows, rows->begin + i)->time, rows->begin + i};
	rows->order = rolling_sort(rows->places, rows->places + rows->size, rows->size);
}

static void
begin_key(RollingRows *rows, uint32 key)
{
	rows->key = key;
	rows->begin = key > 0 ? rows->ends[key - 1] : 0;
	rows->size = rows->ends[key] - rows->begin;
	rows->next = 0;
	order_key(rows);
}

void
rolling_rows_rewind(RollingRows *rows)
{
	rows->key = NO_KEY;
	if (rows->sort != NULL)
		tuplesort_rescan(rows->sort);
	else
		begin_key(rows, NO_KEY);
}

/* The next record of the key. */
static inline const Record *
next_record(RollingRows *rows)
{
	Size		n = rows->next++;

	if (rows->order == NULL)
		return record_of(rows, rows->begin + n);
	if (n + AHEAD < rows->size)
		__builtin_prefetch(record_of(rows, rows->order[n + AHEAD].row));
	return record_of(rows, rows->order[n].row);
}

/* Rows from memory. */
static void
read_memory(RollingRows *rows, RollingPart *part)
{
	while (rows->next == rows->size)
	{
		if (rows->key + 1 == rows->next_key)
			return;
		begin_key(rows, rows->key + 1);
	}
	part->new_key = rows->next == 0;
	part->count = Min(rows->size - rows->next, rows->key == NO_KEY ? 1 : ROLLING_BLOCK);
	for (int i = 0; i < part->count; i++)
	{
		const Record *record = next_record(rows);

		part->rows[i] = (RollingRow) {record->time, values_of(rows, record), record->nulls};
	}
}

/* One row from files: the next takes its place. */
static void
read_files(RollingRows *rows, RollingPart *part)
{
	uint32		key;

	if (!tuplesort_gettupleslot(rows->sort, true, false, rows->out, NULL))
		return;
	slot_getallattrs(rows->out);
	key = DatumGetInt64(rows->out->tts_values[0]);
	part->new_key = key != rows->key;
	part->count = 1;
	part->rows[0] = (RollingRow) {
		DatumGetInt64(rows->out->tts_values[1]), rows->out->tts_values + 2, rows->out->tts_isnull + 2
	};
	rows->key = key;
}

void
rolling_rows_read(RollingRows *rows, RollingPart *part)
{
	part->count = 0;
	(rows->sort != NULL ? read_files : read_memory) (rows, part);
	part->new_key |= rows->key == NO_KEY;
	part->timeless = rows->key == NO_TIME;
}

bool
rolling_rows_range(const RollingRows *rows, int64 *range)
{
	memcpy(range, rows->range, sizeof(rows->range));
	return range[0] <= range[1];
}

void
rolling_rows_end(RollingRows *rows)
{
	if (rows->sort == NULL)
		return;
	tuplesort_end(rows->sort);
	ExecDropSingleTupleTableSlot(rows->in);
	ExecDropSingleTupleTableSlot(rows->out);
}
