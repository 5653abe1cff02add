/*
 * contribute_avx512.c
 *		Contributions of one row with AVX-512: the passes of contribute.c, four
 *		points of four forks at once.
 *
 * Nodes stand level by level, so four forks in a row have their children side by
 * side, and none of them is below another one, but near the root.  Additions come
 * in the order of contribute.c, so the bits are the same.
 */
#include <string.h>

#include "contribute.h"
#include "pure.h"

#ifdef HAVE_X86_KERNELS
#include <immintrin.h>

#define TARGET	__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,popcnt")))
#define FLOATS	16				/* in a register */
#define QUAD	4				/* forks at once */

/* The first so many lanes. */
TARGET static ALWAYS_INLINE __mmask16
first_lanes(uint32_t count)
{
	return count >= FLOATS ? 0xffff : (1u << count) - 1;
}

/* 16 pairs of 32 bits, as first halves and second halves. */
typedef struct Pairs
{
	__m512i		first;
	__m512i		second;
} Pairs;

TARGET static ALWAYS_INLINE Pairs
load_pairs(const void *pairs, uint32_t count)
{
	const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
	uint32_t	inside = first_lanes(count);
	__m512i		low = _mm512_maskz_loadu_epi64((__mmask8) inside, pairs);
	__m512i		high = _mm512_maskz_loadu_epi64((__mmask8) (inside >> 8), (const uint64_t *) pairs + 8);

	return (Pairs) {
		_mm512_permutex2var_epi32(low, even, high),
		_mm512_permutex2var_epi32(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high)
	};
}

/* Four numbers, each for the four points of its fork. */
TARGET static ALWAYS_INLINE __m512i
spread(__m128i numbers)
{
	const __m512i lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);

	return _mm512_permutexvar_epi32(lanes, _mm512_castsi128_si512(numbers));
}

/* Points from four places of an array of so many Points an entry. */
TARGET static ALWAYS_INLINE __m512
gather_points(const Points *points, const uint32_t *places, uint32_t stride)
{
	__m512		all = _mm512_castps128_ps512((__m128) points[places[0] * stride]);

	all = _mm512_insertf32x4(all, (__m128) points[places[1] * stride], 1);
	all = _mm512_insertf32x4(all, (__m128) points[places[2] * stride], 2);
	return _mm512_insertf32x4(all, (__m128) points[places[3] * stride], 3);
}

/* The Points of one fork of four; `which` is a constant. */
#define POINTS_OF(all, which)	((Points) _mm512_extractf32x4_ps(all, which))

/* ---- forks ---- */

/* Find the forks of a tree, with their slots and cuts, and the values of leaves. */
TARGET static ALWAYS_INLINE void
find_forks(const Forest *forest, uint32_t tree, RowWork *work)
{
	const ForestNode *nodes = forest->nodes + forest->trees[tree].root;
	const __m512i slot_mask = _mm512_set1_epi32((1 << forest->header->slot_bits) - 1);
	__m512i		number = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	uint32_t	num_nodes = forest_tree_size(forest, tree);
	uint32_t	k = 0;
	uint32_t	i;

	for (i = 0; i < num_nodes; i += FLOATS)
	{
		Pairs		pairs = load_pairs(nodes + i, num_nodes - i);
		__mmask16	inner = _mm512_test_epi32_mask(pairs.second, pairs.second);

		_mm512_storeu_si512(work->forks.nodes + k, _mm512_maskz_compress_epi32(inner, number));
		_mm512_storeu_si512(work->forks.slots + k,
							_mm512_maskz_compress_epi32(inner, _mm512_and_si512(pairs.second, slot_mask)));
		_mm512_storeu_si512(work->cuts + k, _mm512_maskz_compress_epi32(inner, pairs.first));
		k += _mm_popcnt_u32(inner);
		number = _mm512_add_epi32(number, _mm512_set1_epi32(FLOATS));
		_mm512_storeu_si512(work->forks.leaves + i, pairs.first);
	}
	work->forks.count = k;
	find_lowest(&work->forks);
}

/* Which of 16 forks of categories send the row right. */
TARGET static uint32_t
decide_categories(const Forest *forest, const float *cuts, const uint32_t *fork_slots,
				  const uint32_t *slots, uint32_t which)
{
	uint32_t	right = 0;

	for (; which != 0; which &= which - 1)
	{
		uint32_t	lane = __builtin_ctz(which);
		uint32_t	set;

		memcpy(&set, &cuts[lane], sizeof(set));
		right |= forest_in_set(forest->category_sets + set, slots[fork_slots[lane]]) << lane;
	}
	return right;
}

/* Where the row goes, and which forks are repeats. */
TARGET static ALWAYS_INLINE void
decide(const Forest *forest, uint32_t tree, RowWork *work)
{
	const ForestSplit *splits = splits_of(forest, tree);
	const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	const __m512i categorical = _mm512_set1_epi32(forest->first_categorical);
	Forks	   *forks = &work->forks;
	uint32_t	num_repeats = 1;
	uint32_t	k;

	for (k = 0; k < forks->count; k += FLOATS)
	{
		__mmask16	inside = first_lanes(forks->count - k);
		__m512i		slots = _mm512_loadu_si512(forks->slots + k);
		__mmask16	sets = _mm512_mask_cmpge_epu32_mask(inside, slots, categorical);
		__m512		values = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), inside, slots,
													  (const float *) work->slots, sizeof(float));
		__mmask16	right = _mm512_mask_cmp_ps_mask(inside, values, _mm512_loadu_ps(work->cuts + k),
													_CMP_NLT_UQ);
		Pairs		pairs = load_pairs(splits + k, forks->count - k);
		__m512		left_share = _mm512_castsi512_ps(pairs.first);
		__mmask16	repeated = _mm512_test_epi32_mask(pairs.second, pairs.second);

		if (sets)
			right = (right & ~sets) | decide_categories(forest, work->cuts + k, forks->slots + k,
														work->slots, sets);
		_mm512_storeu_si512(work->rights + k, _mm512_maskz_set1_epi32(right, 1));
		_mm512_storeu_ps(work->cold_shares + k,
						 _mm512_mask_mov_ps(_mm512_sub_ps(_mm512_set1_ps(1), left_share), right, left_share));
		_mm512_storeu_si512(forks->repeats + k,
							_mm512_maskz_expand_epi32(repeated, _mm512_add_epi32(lanes, _mm512_set1_epi32(num_repeats))));
		_mm512_storeu_si512(forks->repeat_forks + num_repeats,
							_mm512_maskz_compress_epi32(repeated, _mm512_add_epi32(lanes, _mm512_set1_epi32(k))));
		num_repeats += _mm_popcnt_u32(repeated);
	}
	forks->num_repeats = num_repeats;
}

/* ---- the passes ---- */

/* Is none of the four forks below another one?  All have their nodes among the
 * children of forks before them, then. */
static ALWAYS_INLINE bool
is_quad(const Forks *forks, uint32_t first)
{
	return forks->nodes[first + QUAD - 1] <= 2 * first;
}

/* In which lanes the row goes right. */
TARGET static ALWAYS_INLINE __mmask16
right_lanes(const RowWork *work, uint32_t first)
{
	__m512i		rights = spread(_mm_loadu_si128((const __m128i *) (work->rights + first)));

	return _mm512_test_epi32_mask(rights, rights);
}

TARGET static ALWAYS_INLINE void
quad_down(const RowWork *work, uint32_t first)
{
	const __m512i low = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
	const __m512i high = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
	const uint32_t *repeats = work->forks.repeats + first;
	float	   *children = (float *) (work->reach + 2 * first + 1);
	__mmask16	right = right_lanes(work, first);
	__m512		reach = gather_points(work->reach, work->forks.nodes + first, 1);
	__m512i		shares = spread(_mm_loadu_si128((const __m128i *) (work->cold_shares + first)));
	__m512		cold = _mm512_mul_ps(_mm512_castsi512_ps(shares),
									 gather_points(&work->states->unknown, repeats, 2));
	__m512		to_cold = _mm512_mul_ps(cold, reach);
	__m512		to_hot = _mm512_sub_ps(reach, to_cold);
	__m512d		to_left = _mm512_castps_pd(_mm512_mask_mov_ps(to_hot, right, to_cold));
	__m512d		to_right = _mm512_castps_pd(_mm512_mask_mov_ps(to_cold, right, to_hot));

	_mm512_storeu_ps((float *) (work->colds + first), cold);
	_mm512_storeu_ps((float *) (work->to_colds + first), to_cold);
	_mm512_storeu_pd(children, _mm512_permutex2var_pd(to_left, low, to_right));
	_mm512_storeu_pd(children + FLOATS, _mm512_permutex2var_pd(to_left, high, to_right));
}

/* Put the values of four forks, and add what they add, the last one's first. */
TARGET static ALWAYS_INLINE void
put_quad(const RowWork *work, uint32_t first, __m512 value, __m512 added)
{
	const uint32_t *nodes = work->forks.nodes + first;
	const uint32_t *slots = work->forks.slots + first;

	work->values[nodes[3]] = POINTS_OF(value, 3);
	work->values[nodes[2]] = POINTS_OF(value, 2);
	work->values[nodes[1]] = POINTS_OF(value, 1);
	work->values[nodes[0]] = POINTS_OF(value, 0);
	work->sums[slots[3]] += POINTS_OF(added, 3);
	work->sums[slots[2]] += POINTS_OF(added, 2);
	work->sums[slots[1]] += POINTS_OF(added, 1);
	work->sums[slots[0]] += POINTS_OF(added, 0);
}

TARGET static ALWAYS_INLINE void
quad_up(const RowWork *work, uint32_t first)
{
	static const uint32_t even[QUAD] = {0, 2, 4, 6};
	const Points *children = work->values + 2 * first + 1;
	__mmask16	right = right_lanes(work, first);
	__m512		left_value = gather_points(children, even, 1);
	__m512		right_value = gather_points(children + 1, even, 1);
	__m512		hot = _mm512_mask_mov_ps(left_value, right, right_value);
	__m512		difference = _mm512_sub_ps(hot, _mm512_mask_mov_ps(right_value, right, left_value));
	__m512		value = _mm512_sub_ps(hot, _mm512_mul_ps(_mm512_loadu_ps((const float *) (work->colds + first)),
														 difference));
	__m512		added = _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps((const float *) (work->to_colds + first)),
													gather_points(&work->states->weight,
																  work->forks.repeats + first, 2)),
									  difference);

	put_quad(work, first, value, added);
}

/* Down and up four lowest forks. */
TARGET static ALWAYS_INLINE void
quad_lowest(const RowWork *work, uint32_t first)
{
	const __m512i left_lanes = _mm512_set_epi32(6, 6, 6, 6, 4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0);
	const __m512i right_ones = _mm512_set_epi32(7, 7, 7, 7, 5, 5, 5, 5, 3, 3, 3, 3, 1, 1, 1, 1);
	const uint32_t *nodes = work->forks.nodes + first;
	const uint32_t *repeats = work->forks.repeats + first;
	__mmask16	right = right_lanes(work, first);
	__m512		leaves = _mm512_castps256_ps512(_mm256_loadu_ps(work->forks.leaves + 2 * first + 1));
	__m512		left_value = _mm512_permutexvar_ps(left_lanes, leaves);
	__m512		right_value = _mm512_permutexvar_ps(right_ones, leaves);
	__m512		hot = _mm512_mask_mov_ps(left_value, right, right_value);
	__m512		difference = _mm512_sub_ps(hot, _mm512_mask_mov_ps(right_value, right, left_value));
	__m512i		shares = spread(_mm_loadu_si128((const __m128i *) (work->cold_shares + first)));
	__m512		cold = _mm512_mul_ps(_mm512_castsi512_ps(shares),
									 gather_points(&work->states->unknown, repeats, 2));
	__m512		to_cold = _mm512_mul_ps(cold, gather_points(work->reach, nodes, 1));

	put_quad(work, first, _mm512_sub_ps(hot, _mm512_mul_ps(cold, difference)),
			 _mm512_mul_ps(_mm512_mul_ps(to_cold, gather_points(&work->states->weight, repeats, 2)),
						   difference));
}

/* Down a tree, by quads where they are. */
TARGET static ALWAYS_INLINE void
walk_down(const Rule *rule, const RowWork *work)
{
	uint32_t	lowest = work->forks.lowest;
	uint32_t	k = 0;

	work->reach[0] = rule->weights;
	while (k < lowest)
	{
		if (k % QUAD == 0 && k + QUAD <= lowest && is_quad(&work->forks, k))
		{
			quad_down(work, k);
			k += QUAD;
		}
		else
			step_down(work, k++);
	}
}

/* Up a tree. */
TARGET static ALWAYS_INLINE void
walk_up(const RowWork *work)
{
	uint32_t	lowest = work->forks.lowest;
	uint32_t	k = work->forks.count;

	for (; k >= lowest + QUAD; k -= QUAD)
		quad_lowest(work, k - QUAD);
	while (k > lowest)
		step_lowest(work, --k);
	while (k > 0)
	{
		if (k % QUAD == 0 && is_quad(&work->forks, k - QUAD))
		{
			k -= QUAD;
			quad_up(work, k);
		}
		else
			step_up(work, --k);
	}
}

/* See contribute.h. */
TARGET void
contribute_row_avx512(const Forest *forest, const Rule *rule, uint32_t output, RowWork *work)
{
	RowWork		local = *work;	/* in registers */
	uint32_t	i;

	if (forest->header->num_leaf_vectors > 0)
	{
		contribute_row(forest, rule, output, work);
		return;
	}
	for (i = 0; i < forest->header->num_trees; i++)
	{
		if (!is_for_rule(forest, &forest->trees[i], rule, output))
			continue;
		find_forks(forest, i, &local);
		decide(forest, i, &local);
		find_states(rule, splits_of(forest, i), &local);
		spread_leaves(&local);
		walk_down(rule, &local);
		walk_up(&local);
	}
}

#endif							/* HAVE_X86_KERNELS */
