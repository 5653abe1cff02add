/*
 * categories.c
 *		The names of categories that models of XGBoost 3.1 and later carry
 *		(cats.enc: one entry a feature, in code order).
 *
 * Strings are cut out of one array of bytes, signed in UBJSON, at offsets;
 * integers stand as they are.  Features without names have empty arrays.
 *
 * Only names in ASCII are given away.  Python's package up to 3.3 at least
 * counts the offsets in characters but the array in bytes, so that names with
 * other characters are cut at the wrong places, the last ones lost
 * (npstr_to_arrow_strarr() of python-package/xgboost/_data_utils.py), and the
 * file does not tell whether it came from there.  A wrong name would be a wrong
 * code, so such a feature counts as one without names.
 */
#include "fields.h"
#include "memory.h"

/* The names of one feature, cut out of bytes; none unless all bytes are ASCII. */
static void
read_strings(const Value *encoded, uint32_t feature, CategoryNames *names)
{
	uint32_t	num_offsets;
	uint32_t	num_bytes;
	const int32_t *offsets = field_ints(encoded, "offsets", FIELD_ANY_LENGTH,
										&num_offsets, 0, INT32_MAX);
	const int32_t *values = field_ints(encoded, "values", FIELD_ANY_LENGTH,
									   &num_bytes, INT8_MIN, UINT8_MAX);
	char	   *bytes = region_get(num_bytes, 1);

	for (uint32_t i = 0; i < num_bytes; i++)
	{
		if (values[i] < 1 || values[i] > 127)
			return;
		bytes[i] = (char) values[i];
	}
	names->count = num_offsets == 0 ? 0 : num_offsets - 1;
	names->names = region_get(names->count, sizeof(char *));
	for (uint32_t i = 0; i < names->count; i++)
	{
		if (offsets[i] > offsets[i + 1] || (uint32_t) offsets[i + 1] > num_bytes)
			model_malformed("names of categories out of range, feature %u", feature);
		names->names[i] = region_get_string(bytes + offsets[i],
											(size_t) (offsets[i + 1] - offsets[i]));
	}
}

/* The integers of one feature; other types of categories are not reported. */
static void
read_integers(const Value *encoded, CategoryNames *names)
{
	const Value *values = document_member(encoded, "values");
	int64_t    *integers;
	uint32_t	count;
	const int32_t *ints;

	if (values != NULL && values->kind == VALUE_LONGS)
	{
		names->count = values->count;
		names->integers = values->as.longs;
		return;
	}
	ints = document_ints(values, &count);
	if (ints == NULL)
		return;
	integers = region_get(count, sizeof(int64_t));
	for (uint32_t i = 0; i < count; i++)
		integers[i] = ints[i];
	names->count = count;
	names->integers = integers;
}

/* See fields.h. */
CategoryNames *
categories_read(const Value *cats, uint32_t num_features)
{
	const Value *encoded = document_member(cats, "enc");
	CategoryNames *names;

	if (encoded == NULL || encoded->kind != VALUE_LIST || encoded->count == 0)
		return NULL;
	if (encoded->count != num_features)
		model_malformed("names of categories for %u features instead of %u",
						encoded->count, num_features);
	names = region_get_zero(num_features, sizeof(CategoryNames));
	for (uint32_t i = 0; i < num_features; i++)
	{
		const Value *item = &encoded->as.items[i];

		if (item->kind != VALUE_OBJECT)
			model_malformed("names of categories of the wrong type, feature %u", i);
		if (document_member(item, "offsets") != NULL)
			read_strings(item, i, &names[i]);
		else
			read_integers(item, &names[i]);
	}
	return names;
}
