/*
 * objective.c
 *		XGBoost's objectives: how base_score becomes a margin, how margins
 *		become predictions, and the parameter blocks without which libxgboost
 *		does not load a model.
 *
 * Nothing in a parameter block changes a prediction but the numbers of classes
 * and alphas; the values here are XGBoost's defaults.  An objective has every
 * block that some release wants: releases ignore the blocks of others.
 */
#include <math.h>
#include <string.h>

#include "model.h"

/* kRtEps of include/xgboost/base.h */
#define SMALL_GAP	1e-6f

#define LOSS	{"reg_loss_param", "scale_pos_weight", "1"}
#define CLASSES	{"softmax_multiclass_param", "num_class", NULL}
#define RANK	{"lambda_rank_param", "num_pairsample", "1"}, \
				{"lambdarank_param", "lambdarank_pair_method", "topk"}

static const Objective objectives[] = {
	{"reg:squarederror", RELEASE(1, 0), LINK_IDENTITY, FOREST_IDENTITY, false, {LOSS}},
	{"reg:linear", RELEASE(1, 0), LINK_IDENTITY, FOREST_IDENTITY, false, {LOSS}},
	{"reg:squaredlogerror", RELEASE(1, 0), LINK_IDENTITY, FOREST_IDENTITY, false, {LOSS}},
	{"reg:pseudohubererror", RELEASE(1, 0), LINK_IDENTITY, FOREST_IDENTITY, false,
	{{"pseudo_huber_param", "huber_slope", "1"}}},
	{"reg:absoluteerror", RELEASE(1, 7), LINK_IDENTITY, FOREST_IDENTITY, false, {{0}}},
	{"reg:quantileerror", RELEASE(2, 0), LINK_IDENTITY, FOREST_IDENTITY, false,
	{{"quantile_loss_param", "quantile_alpha", NULL}}},
	{"reg:expectileerror", RELEASE(3, 3), LINK_EXPECTILE, FOREST_EXPECTILE, false,
	{{"expectile_loss_param", "expectile_alpha", NULL}}},
	{"reg:logistic", RELEASE(1, 0), LINK_LOGIT, FOREST_SIGMOID, false, {LOSS}},
	{"binary:logistic", RELEASE(1, 0), LINK_LOGIT, FOREST_SIGMOID, false, {LOSS}},
	{"binary:logitraw", RELEASE(1, 0), LINK_IDENTITY, FOREST_IDENTITY, false, {LOSS}},
	{"binary:hinge", RELEASE(1, 0), LINK_IDENTITY, FOREST_HINGE, false, {{0}}},
	{"count:poisson", RELEASE(1, 0), LINK_LOG, FOREST_EXP, false,
	{{"poisson_regression_param", "max_delta_step", "0.699999988"}}},
	{"reg:gamma", RELEASE(1, 0), LINK_LOG, FOREST_EXP, false, {LOSS}},
	{"reg:tweedie", RELEASE(1, 0), LINK_LOG, FOREST_EXP, false,
	{{"tweedie_regression_param", "tweedie_variance_power", "1.5"}}},
	{"survival:cox", RELEASE(1, 0), LINK_LOG, FOREST_EXP, false, {{0}}},
	{"survival:aft", RELEASE(1, 1), LINK_LOG, FOREST_EXP, false,
	{{"aft_loss_param", "aft_loss_distribution", "normal"}}},
	{"multi:softmax", RELEASE(1, 0), LINK_IDENTITY, FOREST_ARGMAX, true, {CLASSES}},
	{"multi:softprob", RELEASE(1, 0), LINK_IDENTITY, FOREST_SOFTMAX, true, {CLASSES}},
	{"rank:pairwise", RELEASE(1, 0), LINK_IDENTITY, FOREST_IDENTITY, false, {RANK}},
	{"rank:ndcg", RELEASE(1, 0), LINK_IDENTITY, FOREST_IDENTITY, false, {RANK}},
	{"rank:map", RELEASE(1, 0), LINK_IDENTITY, FOREST_IDENTITY, false, {RANK}},
};

/* See model.h. */
const Objective *
objective_find(const char *name)
{
	for (size_t i = 0; i < sizeof(objectives) / sizeof(objectives[0]); i++)
	{
		if (strcmp(objectives[i].name, name) == 0)
			return &objectives[i];
	}
	return NULL;
}

/* See model.h. */
const Objective *
objective_stand_in(void)
{
	return &objectives[0];
}

/* See model.h. */
const char *
objective_transform_name(const Objective *objective)
{
	static const char *const names[] = {
		[FOREST_IDENTITY] = "identity",
		[FOREST_SIGMOID] = "sigmoid",
		[FOREST_EXP] = "exp",
		[FOREST_HINGE] = "hinge",
		[FOREST_SOFTMAX] = "softmax",
		[FOREST_ARGMAX] = "argmax",
		[FOREST_EXPECTILE] = "expectile",
	};

	return names[objective->transform];
}

/*
 * See model.h.  In float32 and in the order of libxgboost's ProbToMargin()
 * (src/objective/regression_loss.h; SoftPlusInv() of src/common/math.h).
 */
bool
objective_base_margins(const Objective *objective, const float *scores,
					   uint32_t count, float *margins)
{
	for (uint32_t i = 0; i < count; i++)
	{
		float		score = scores[i];

		switch (objective->link)
		{
			case LINK_IDENTITY:
				margins[i] = score;
				break;
			case LINK_LOGIT:
				margins[i] = -logf(1.0f / score - 1.0f);
				break;
			case LINK_LOG:
				margins[i] = logf(score);
				break;
			case LINK_EXPECTILE:
				margins[i] = score;
				if (i > 0)
				{
					float		gap = score - scores[i - 1] - SMALL_GAP;

					gap = gap < SMALL_GAP ? SMALL_GAP : gap;
					margins[i] = gap + logf(-expm1f(-gap));
				}
				break;
		}
		if (!isfinite(margins[i]))
			return false;
	}
	return true;
}
