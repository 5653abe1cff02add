/*
 * report.c
 *		What an import tells about a model: JSON or text.
 *
 * Floats are printed with nine digits, from which float32 comes back exactly.
 */
#include <inttypes.h>
#include <math.h>

#include "report.h"

static const char *const format_names[] = {
	[FORMAT_JSON] = "json",[FORMAT_UBJSON] = "ubjson",[FORMAT_BINARY] = "binary"
};
static const char *const booster_names[] = {
	[BOOSTER_GBTREE] = "gbtree",[BOOSTER_DART] = "dart",[BOOSTER_GBLINEAR] = "gblinear"
};

/* ---- JSON ---- */

/* A JSON object that is being written; the first member has no comma before. */
typedef struct Json
{
	FILE	   *stream;
	const char *separator;
} Json;

/* A string. */
static void
write_string(FILE *stream, const char *string)
{
	fputc('"', stream);
	for (const char *at = string; *at != '\0'; at++)
	{
		if (*at == '"' || *at == '\\')
			fputc('\\', stream);
		if ((unsigned char) *at < 0x20)
			fprintf(stream, "\\u%04x", (unsigned char) *at);
		else
			fputc(*at, stream);
	}
	fputc('"', stream);
}

/* A member's key. */
static void
write_key(Json *json, const char *key)
{
	fputs(json->separator, json->stream);
	write_string(json->stream, key);
	fputs(": ", json->stream);
	json->separator = ", ";
}

/* Members of several types. */
static void
write_text(Json *json, const char *key, const char *text)
{
	write_key(json, key);
	write_string(json->stream, text);
}

static void
write_number(Json *json, const char *key, uint64_t number)
{
	write_key(json, key);
	fprintf(json->stream, "%" PRIu64, number);
}

static void
write_number_or_null(Json *json, const char *key, int64_t number)
{
	write_key(json, key);
	if (number < 0)
		fputs("null", json->stream);
	else
		fprintf(json->stream, "%" PRId64, number);
}

static void
write_texts_or_null(Json *json, const char *key, const char **texts, uint32_t count)
{
	write_key(json, key);
	if (texts == NULL)
	{
		fputs("null", json->stream);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
	{
		fputs(i == 0 ? "[" : ", ", json->stream);
		write_string(json->stream, texts[i]);
	}
	fputs("]", json->stream);
}

/* A number; null when JSON has no such number. */
static void
write_finite_or_null(Json *json, const char *key, double number)
{
	write_key(json, key);
	if (isfinite(number))
		fprintf(json->stream, "%.9g", number);
	else
		fputs("null", json->stream);
}

/* base_score: one number for each that the model has. */
static void
write_base_score(Json *json, const Model *model)
{
	write_key(json, "base_score");
	for (uint32_t i = 0; i < model->num_base_scores; i++)
		fprintf(json->stream, "%s%.9g", i == 0 ? "[" : ", ", (double) model->base_scores[i]);
	fputs("]", json->stream);
}

/* Which features are categorical, and the names of their categories. */
static void
write_categories(Json *json, const Model *model)
{
	Json		object = {json->stream, ""};
	const char *separator = "";

	write_key(json, "categorical_features");
	fputs("[", json->stream);
	for (uint32_t i = 0; i < model->num_features; i++)
	{
		if (!model->is_categorical[i])
			continue;
		fprintf(json->stream, "%s%u", separator, i);
		separator = ", ";
	}
	fputs("]", json->stream);

	write_key(json, "categories");
	if (model->categories == NULL)
	{
		fputs("null", json->stream);
		return;
	}
	fputs("{", json->stream);
	for (uint32_t i = 0; i < model->num_features; i++)
	{
		const CategoryNames *names = &model->categories[i];
		char		key[16];

		if (names->count == 0)
			continue;
		snprintf(key, sizeof(key), "%u", i);
		if (names->names != NULL)
		{
			write_texts_or_null(&object, key, names->names, names->count);
			continue;
		}
		write_key(&object, key);
		for (uint32_t j = 0; j < names->count; j++)
			fprintf(json->stream, "%s%" PRId64, j == 0 ? "[" : ", ", names->integers[j]);
		fputs("]", json->stream);
	}
	fputs("}", json->stream);
}

/* See report.h. */
const Importance *
report_importance(const Model *model, uint32_t num_trees)
{
	Importance *importance = region_get_zero(model->num_features, sizeof(Importance));

	for (uint32_t t = 0; t < num_trees; t++)
	{
		const ForestSourceTree *tree = &model->trees[t];
		const ModelTree *detail = &model->details[t];

		for (uint32_t i = 0; i < tree->num_nodes; i++)
		{
			Importance *of;

			if (tree->left[i] == -1 || (uint32_t) tree->feature[i] >= model->num_features)
				continue;		/* a leaf, or deleted */
			of = &importance[tree->feature[i]];
			of->splits++;
			of->gain += detail->loss_changes != NULL ? detail->loss_changes[i] : NAN;
			of->cover += detail->sum_hessian != NULL ? detail->sum_hessian[i] : NAN;
		}
	}
	return importance;
}

/* Features that are split on. */
static void
write_importance(Json *json, const Report *report)
{
	const char *separator = "";

	write_key(json, "importance");
	fputs("[", json->stream);
	for (uint32_t i = 0; i < report->model->num_features; i++)
	{
		const Importance *of = &report->importance[i];
		Json		object = {json->stream, ""};

		if (of->splits == 0)
			continue;
		fprintf(json->stream, "%s{", separator);
		separator = ", ";
		write_number(&object, "feature", i);
		write_number(&object, "splits", of->splits);
		write_finite_or_null(&object, "gain", of->gain);
		write_finite_or_null(&object, "cover", of->cover);
		fputs("}", json->stream);
	}
	fputs("]", json->stream);
}

/* Attributes as they are. */
static void
write_attributes(Json *json, const Model *model)
{
	Json		object = {json->stream, ""};

	write_key(json, "attributes");
	fputs("{", json->stream);
	for (uint32_t i = 0; model->attributes != NULL && i < model->attributes->count; i++)
	{
		const Member *member = &model->attributes->as.members[i];

		write_text(&object, member->key, member->value.as.string);
	}
	fputs("}", json->stream);
}

/* The certificate. */
static void
write_certificate(Json *json, const Certificate *certificate)
{
	Json		object = {json->stream, ""};

	write_key(json, "certificate");
	fputs("{", json->stream);
	write_text(&object, "library", certificate->library);
	write_text(&object, "read_as", certificate->read_as);
	write_key(&object, "objective_checked");
	fputs(certificate->objective_checked ? "true" : "false", json->stream);
	write_number(&object, "probes", certificate->probes);
	write_number(&object, "margins_compared", certificate->margins_compared);
	write_number(&object, "margins_equal", certificate->margins_equal);
	write_number(&object, "predictions_compared", certificate->predictions_compared);
	write_number(&object, "max_ulp", certificate->max_ulp);
	write_number(&object, "nodes_visited", certificate->nodes_visited);
	write_number(&object, "on_threshold", certificate->on_threshold);
	write_number(&object, "beside_threshold", certificate->beside_threshold);
	write_number(&object, "missing_values", certificate->missing_values);
	write_number(&object, "unseen_categories", certificate->unseen_categories);
	fputs("}", json->stream);
}

/* Number of predictions of a row. */
static uint32_t
num_predictions(const ForestHeader *header)
{
	return header->transform == FOREST_ARGMAX ? 1 : header->num_outputs;
}

/* See report.h. */
void
report_as_json(const Report *report, FILE *stream)
{
	const Model *model = report->model;
	const ForestHeader *header = report->header;
	Json		json = {stream, ""};

	fputs("{", stream);
	write_text(&json, "format", format_names[model->format]);
	write_text(&json, "xgboost_version", report->release_text);
	write_text(&json, "objective", model->objective->name);
	write_text(&json, "booster", booster_names[model->booster]);
	write_text(&json, "transform", objective_transform_name(model->objective));
	write_number(&json, "num_features", header->num_features);
	write_number(&json, "num_outputs", header->num_outputs);
	write_number(&json, "num_predictions", num_predictions(header));
	write_number(&json, "num_trees", header->num_trees);
	write_number(&json, "num_parallel_tree", model->num_parallel_tree);
	write_number_or_null(&json, "rounds", model->rounds);
	write_number_or_null(&json, "used_rounds", report->used_rounds);
	write_number_or_null(&json, "best_iteration", model->best_iteration);
	write_number(&json, "max_depth", header->max_depth);
	write_number(&json, "num_nodes", header->num_nodes);
	write_base_score(&json, model);
	write_texts_or_null(&json, "feature_names", model->feature_names, model->num_features);
	write_texts_or_null(&json, "feature_types", model->feature_types, model->num_features);
	write_categories(&json, model);
	write_attributes(&json, model);
	write_key(&json, "missing");
	if (isfinite(header->missing))
		fprintf(stream, "%.9g", (double) header->missing);
	else if (isinf(header->missing))	/* JSON has no such number */
		fprintf(stream, "\"%sInfinity\"", header->missing < 0 ? "-" : "");
	else
		fputs("null", stream);
	write_importance(&json, report);
	write_key(&json, "explains");
	fputs(header->kind == FOREST_LINEAR || header->has_splits ? "true" : "false", stream);
	write_number(&json, "image_version", header->image_version);
	write_number(&json, "image_size", header->image_size);
	write_certificate(&json, report->certificate);
	fputs("}\n", stream);
}

/* ---- text ---- */

/* A line: label and text. */
static void
print_line(FILE *stream, const char *label, const char *text)
{
	fprintf(stream, "%-22s%s\n", label, text);
}

static void
print_number(FILE *stream, const char *label, int64_t number)
{
	if (number < 0)
		print_line(stream, label, "-");
	else
		fprintf(stream, "%-22s%" PRId64 "\n", label, number);
}

/* What the certificate says. */
static void
print_certificate(const Certificate *certificate, FILE *stream)
{
	fprintf(stream, "\nCertificate\n");
	print_line(stream, "libxgboost", certificate->library);
	print_line(stream, "read", certificate->read_as);
	print_number(stream, "probe rows", certificate->probes);
	fprintf(stream, "%-22s%" PRIu64 " of %" PRIu64 "\n", "equal margins",
			certificate->margins_equal, certificate->margins_compared);
	if (certificate->objective_checked)
		fprintf(stream, "%-22s%" PRIu64 ", at most %u ulp apart\n", "predictions",
				certificate->predictions_compared, certificate->max_ulp);
	else
		print_line(stream, "predictions", "not compared: libxgboost lacks the objective");
	print_number(stream, "nodes visited", (int64_t) certificate->nodes_visited);
	print_number(stream, "on a threshold", (int64_t) certificate->on_threshold);
	print_number(stream, "beside a threshold", (int64_t) certificate->beside_threshold);
	print_number(stream, "missing values", (int64_t) certificate->missing_values);
	print_number(stream, "unseen categories", (int64_t) certificate->unseen_categories);
}

/* The features, one a line. */
static void
print_features(const Model *model, FILE *stream)
{
	fprintf(stream, "\nFeatures\n");
	for (uint32_t i = 0; i < model->num_features; i++)
	{
		fprintf(stream, "%-6u%s", i, model->feature_names != NULL ? model->feature_names[i] : "-");
		if (model->feature_types != NULL)
			fprintf(stream, " (%s)", model->feature_types[i]);
		else if (model->is_categorical[i])
			fputs(" (categorical)", stream);
		if (model->categories != NULL && model->categories[i].count > 0)
			fprintf(stream, ", %u categories", model->categories[i].count);
		fputc('\n', stream);
	}
}

/* See report.h. */
void
report_as_text(const Report *report, FILE *stream)
{
	const Model *model = report->model;
	const ForestHeader *header = report->header;

	print_line(stream, "format", format_names[model->format]);
	print_line(stream, "XGBoost", report->release_text);
	print_line(stream, "objective", model->objective->name);
	print_line(stream, "transformation", objective_transform_name(model->objective));
	print_line(stream, "booster", booster_names[model->booster]);
	print_number(stream, "features", header->num_features);
	print_number(stream, "outputs", header->num_outputs);
	print_number(stream, "predictions", num_predictions(header));
	print_number(stream, "trees", header->num_trees);
	print_number(stream, "parallel trees", model->num_parallel_tree);
	print_number(stream, "rounds", model->rounds);
	print_number(stream, "used rounds", report->used_rounds);
	print_number(stream, "best iteration", model->best_iteration);
	print_number(stream, "depth", header->max_depth);
	print_number(stream, "nodes", header->num_nodes);
	fprintf(stream, "%-22s", "base score");
	for (uint32_t i = 0; i < model->num_base_scores; i++)
		fprintf(stream, "%s%.9g", i == 0 ? "" : ", ", (double) model->base_scores[i]);
	fputc('\n', stream);
	if (!isnan(header->missing))
		fprintf(stream, "%-22s%.9g\n", "missing value", (double) header->missing);
	for (uint32_t i = 0; model->attributes != NULL && i < model->attributes->count; i++)
	{
		const Member *member = &model->attributes->as.members[i];

		fprintf(stream, "%-22s%s = %s\n", i == 0 ? "attributes" : "", member->key,
				member->value.as.string);
	}
	fprintf(stream, "%-22sversion %u, %" PRIu64 " bytes\n", "image", header->image_version,
			header->image_size);
	print_certificate(report->certificate, stream);
	print_features(model, stream);
}
