/*
 * fill.c
 *		Columns of a tuple given values: what heap_modify_tuple_by_cols() makes, in a
 *		fraction of its time where the last columns are filled, as scores are.
 *
 * Where they, and all columns between them, are NULL before, the values are put behind
 * those of the tuple, which is copied as it is.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"

#include "compat.h"
#include "fill.h"

/* Are all columns NULL from one on? */
static bool
ends_with_nulls(HeapTuple tuple, TupleDesc tupdesc, int first)
{
	if (!HeapTupleHasNulls(tuple) || HeapTupleHeaderGetNatts(tuple->t_data) != tupdesc->natts)
		return false;
	for (int i = first; i <= tupdesc->natts; i++)
	{
		if (!att_isnull(i - 1, tuple->t_data->t_bits))
			return false;
	}
	return true;
}

/* Bytes that a value takes at most, with those before it that align it; 0: it is of no
 * kind that append_value() knows. */
static Size
room(Form_pg_attribute attribute, Datum value)
{
	if (attribute->attbyval)
		return 2 * sizeof(Datum);
	if (attribute->attlen == -1 && attribute->attstorage != TYPSTORAGE_PLAIN &&
		VARATT_CAN_MAKE_SHORT(DatumGetPointer(value)))
		return VARATT_CONVERTED_SHORT_SIZE(DatumGetPointer(value));
	return 0;
}

/* Put a value behind those of a tuple. */
static void
append_value(HeapTuple tuple, Form_pg_attribute attribute, Datum value)
{
	HeapTupleHeader header = tuple->t_data;
	char	   *data = (char *) header + header->t_hoff;
	Size		offset = tuple->t_len - header->t_hoff;
	Size		length = attribute->attlen;

	if (attribute->attbyval)
	{
		offset = att_align_nominal(offset, attribute->attalign);
		store_att_byval(data + offset, value, attribute->attlen);
	}
	else
	{
		length = VARATT_CONVERTED_SHORT_SIZE(DatumGetPointer(value));
		SET_VARSIZE_SHORT(data + offset, length);
		memcpy(data + offset + 1, VARDATA(DatumGetPointer(value)), length - 1);
		header->t_infomask |= HEAP_HASVARWIDTH;
	}
	tuple->t_len = header->t_hoff + offset + length;
}

/* A copy of a tuple, with room for more and with these columns marked as present. */
static HeapTuple
copy_with_room(HeapTuple tuple, const bits8 *present, Size more)
{
	HeapTupleHeader from = tuple->t_data;
	int			natts = HeapTupleHeaderGetNatts(from);
	Size		size = tuple->t_len - from->t_hoff;
	bool		has_nulls = false;
	HeapTuple	result;
	HeapTupleHeader to;

	for (int i = 0; i < natts && !has_nulls; i++)
		has_nulls = att_isnull(i, present);
	result = palloc0(HEAPTUPLESIZE + MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(natts)) + size + more);
	*result = *tuple;
	result->t_data = to = (HeapTupleHeader) ((char *) result + HEAPTUPLESIZE);
	memcpy(to, from, SizeofHeapTupleHeader);
	to->t_infomask &= HEAP_HASVARWIDTH | HEAP_HASEXTERNAL;
	to->t_hoff = MAXALIGN(SizeofHeapTupleHeader);
	if (has_nulls)
	{
		to->t_infomask |= HEAP_HASNULL;
		to->t_hoff = MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(natts));
		memcpy(to->t_bits, present, BITMAPLEN(natts));
	}
	memcpy((char *) to + to->t_hoff, (char *) from + from->t_hoff, size);
	result->t_len = to->t_hoff + size;
	return result;
}

/* The tuple with the values of columns behind its own; NULL: they are of no kind that
 * can be put there. */
static HeapTuple
append_columns(HeapTuple tuple, TupleDesc tupdesc, int first, int count, const int *columns,
			   const Datum *values, const bool *nulls)
{
	bits8		present[(MaxTupleAttributeNumber + 7) / 8];
	Size		more = 0;
	HeapTuple	result;

	memcpy(present, tuple->t_data->t_bits, BITMAPLEN(tupdesc->natts));
	for (int i = 0; i < count; i++)
	{
		Size		size = nulls[i] ? 0 : room(TupleDescAttr(tupdesc, columns[i] - 1), values[i]);

		if (!nulls[i] && size == 0)
			return NULL;
		if (!nulls[i])
			present[(columns[i] - 1) / 8] |= 1 << (columns[i] - 1) % 8;
		more += size;
	}
	result = copy_with_room(tuple, present, more);
	for (int column = first; column <= tupdesc->natts; column++)
	{
		for (int i = 0; i < count; i++)
		{
			if (columns[i] == column && !nulls[i])
				append_value(result, TupleDescAttr(tupdesc, column - 1), values[i]);
		}
	}
	HeapTupleHeaderSetDatumLength(result->t_data, result->t_len);
	return result;
}

/* A copy of a tuple in which these columns have these values. */
HeapTuple
fill_columns(HeapTuple tuple, TupleDesc tupdesc, int count, const int *columns, const Datum *values,
			 const bool *nulls)
{
	HeapTuple	result = NULL;
	int			first = columns[0];

	for (int i = 1; i < count; i++)
		first = Min(first, columns[i]);
	if (ends_with_nulls(tuple, tupdesc, first))
		result = append_columns(tuple, tupdesc, first, count, columns, values, nulls);
	return result ? result : heap_modify_tuple_by_cols(tuple, tupdesc, count, unconstify(int *, columns),
													   unconstify(Datum *, values), unconstify(bool *, nulls));
}
