/*
 * transform.c
 *		From margins to predictions, as libxgboost's objectives transform them
 *		(src/objective, src/common/math.h): the same operations in the same
 *		order and precision, so results differ at most where expf() or log1pf()
 *		of two C libraries do.
 */
#include <math.h>
#include <stddef.h>

#include "forest.h"
#include "pure.h"

/* Largest argument of expf() that libxgboost's sigmoid admits. */
#define SIGMOID_LIMIT		88.7f

/* Least distance of two expectiles: libxgboost's kRtEps. */
#define EXPECTILE_DISTANCE	1e-6f

/* 1 / (1 + e^-x); the limit keeps far negative margins above 0. */
static float
sigmoid(float x)
{
	float		power = -x > SIGMOID_LIMIT ? SIGMOID_LIMIT : -x;

	return 1.0f / (expf(power) + 1.0f);
}

/* log(1 + e^x) without overflow. */
static float
softplus(float x)
{
	return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

/* Shares of e^margin; the greatest is subtracted first, the sum is double. */
static void
softmax(const float *margins, uint32_t count, float *predictions)
{
	float		greatest = margins[0];
	double		sum = 0;
	uint32_t	i;

	for (i = 1; i < count; i++)
		greatest = fmaxf(margins[i], greatest);
	for (i = 0; i < count; i++)
	{
		predictions[i] = expf(margins[i] - greatest);
		sum += predictions[i];
	}
	for (i = 0; i < count; i++)
		predictions[i] /= (float) sum;
}

/* Number of the greatest margin, the first of equals. */
static uint32_t
argmax(const float *margins, uint32_t count)
{
	uint32_t	greatest = 0;
	uint32_t	i;

	for (i = 1; i < count; i++)
		if (margins[i] > margins[greatest])
			greatest = i;
	return greatest;
}

/* Each expectile is the one before it plus a positive step, so none cross. */
static void
expectiles(const float *margins, uint32_t count, float *predictions)
{
	uint32_t	i;

	predictions[0] = margins[0];
	for (i = 1; i < count; i++)
		predictions[i] = predictions[i - 1] + (EXPECTILE_DISTANCE + softplus(margins[i]));
}

uint32_t
forest_num_predictions(const Forest *forest)
{
	return forest->header->transform == FOREST_ARGMAX ? 1 : forest->header->num_outputs;
}

void
forest_transform(const Forest *forest, const float *margins, float *predictions)
{
	forest_transform_as((ForestTransform) forest->header->transform,
						forest->header->num_outputs, margins, predictions);
}

/* Each output is read before it is written: the arrays may be one. */
void
forest_transform_as(ForestTransform transform, uint32_t count,
					const float *margins, float *predictions)
{
	uint32_t	i;

	switch (transform)
	{
		case FOREST_IDENTITY:
			for (i = 0; i < count; i++)
				predictions[i] = margins[i];
			break;
		case FOREST_SIGMOID:
			for (i = 0; i < count; i++)
				predictions[i] = sigmoid(margins[i]);
			break;
		case FOREST_EXP:
			for (i = 0; i < count; i++)
				predictions[i] = expf(margins[i]);
			break;
		case FOREST_HINGE:
			for (i = 0; i < count; i++)
				predictions[i] = margins[i] > 0.0f ? 1.0f : 0.0f;
			break;
		case FOREST_SOFTMAX:
			softmax(margins, count, predictions);
			break;
		case FOREST_ARGMAX:
			predictions[0] = (float) argmax(margins, count);
			break;
		case FOREST_EXPECTILE:
			expectiles(margins, count, predictions);
			break;
	}
}
