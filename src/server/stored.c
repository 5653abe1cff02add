/*
 * stored.c
 *		Features straight from a stored tuple: what heap_deform_tuple() and the
 *		conversion of each value would make of it, in one pass and without the
 *		arrays between them.
 *
 * Neighbouring real columns that feed features, the usual case, are read
 * without a branch on which of them are null.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/tupmacs.h"

#include "bound.h"
#include "compat.h"

typedef struct StoredColumn
{
	int16		length;
	char		align;
	bool		by_value;
	int			num_reals;		/* that begin here, taken as they are; 0: none */
	int			feature;		/* -1: it feeds none */
} StoredColumn;

struct StoredRow
{
	int			num_columns;	/* up to the last one that feeds a feature */
	StoredColumn columns[FLEXIBLE_ARRAY_MEMBER];
};

/* How stored tuples of a row type are read; NULL: they cannot be, since a column
 * feeds several features, or a feature has none. */
StoredRow *
stored_row(const Binding *binding)
{
	TupleDesc	tupdesc = binding->tupdesc;
	StoredRow  *stored = palloc0(offsetof(StoredRow, columns) + sizeof(StoredColumn) * tupdesc->natts);

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(tupdesc, i);

		stored->columns[i] = (StoredColumn) {attribute->attlen, attribute->attalign, attribute->attbyval, 0, -1};
	}
	for (int i = 0; i < binding->num_features; i++)
	{
		const BoundColumn *bound = &binding->columns[i];
		StoredColumn *column = &stored->columns[bound->attnum - 1];

		if (bound->attnum == 0 || column->feature >= 0)
			return NULL;
		column->feature = i;
		column->num_reals = bound->kind == VALUE_FLOAT4 && !bound->categories;
		stored->num_columns = Max(stored->num_columns, bound->attnum);
	}
	for (int i = stored->num_columns - 2; i >= 0; i--)
	{
		if (stored->columns[i].num_reals)
			stored->columns[i].num_reals += stored->columns[i + 1].num_reals;
	}
	return stored;
}

/* Read reals from an offset on.  Returns where the next column may begin. */
static inline uint32
read_reals(const StoredColumn *columns, int first, int count, HeapTupleHeader header, bool has_nulls,
		   uint32 offset, float *row)
{
	const char *data = (const char *) header + header->t_hoff;
	const char *begin = data + INTALIGN(offset);
	const char *next = begin;

	for (int i = first; i < first + count; i++)
	{
		int			there = has_nulls ? (header->t_bits[i >> 3] >> (i & 7)) & 1 : 1;
		float		value;

		/* Behind the tuple there may be nothing to read. */
		memcpy(&value, there ? next : (const char *) header, sizeof(float));
		row[columns[i].feature] = there ? value : NAN;
		next += there * sizeof(float);
	}
	/* A column is only aligned if it is there. */
	return next == begin ? offset : next - data;
}

/* Features of a stored tuple.  False: columns were added since it was stored. */
bool
stored_features(const Binding *binding, HeapTuple tuple, float *row)
{
	const StoredRow *stored = binding->stored;
	HeapTupleHeader header = tuple->t_data;
	const char *data = (const char *) header + header->t_hoff;
	const bits8 *present = HeapTupleHasNulls(tuple) ? header->t_bits : NULL;
	uint32		offset = 0;
	int			i = 0;

	if (HeapTupleHeaderGetNatts(header) < stored->num_columns)
		return false;
	while (i < stored->num_columns)
	{
		const StoredColumn *column = &stored->columns[i];
		bool		null = present && att_isnull(i, present);

		if (column->num_reals)
		{
			offset = present ? read_reals(stored->columns, i, column->num_reals, header, true, offset, row) :
				read_reals(stored->columns, i, column->num_reals, header, false, offset, row);
			i += column->num_reals;
			continue;
		}
		if (!null)
			offset = att_align_pointer(offset, column->align, column->length, data + offset);
		if (column->feature >= 0)
		{
			const BoundColumn *bound = &binding->columns[column->feature];

			row[column->feature] = null ? NAN :
				value_feature(bound->kind, bound->categories,
							  fetch_att(data + offset, column->by_value, column->length));
		}
		if (!null)
			offset = att_addlength_pointer(offset, column->length, data + offset);
		i++;
	}
	return true;
}
