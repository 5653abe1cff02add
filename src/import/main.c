/*
 * main.c
 *		pg_risk_xgboost: import, inspect and score XGBoost models.
 *
 * "import" is run by the server, with pipes for standard input and output: a
 * model goes in; a line of JSON and the bytes of its forest image come out, or
 * a line of JSON that says why not.  "inspect" and "predict" are for people.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "predict.h"
#include "refusal.h"
#include "report.h"

#define EXIT_USAGE	2
#define READ_SIZE	((size_t) 1 << 20)

typedef struct Options
{
	float		missing;		/* NaN: none */
	bool		best_iteration;
	Limits		limits;
	const char *file;			/* "-": standard input */
	const char *rows;			/* NULL: standard input */
	bool		with_library;
	bool		contributions;
} Options;

/* A model on its way in. */
typedef struct Import
{
	Model	   *model;
	const char *release_text;	/* of the file */
	int64_t		rounds;			/* 0: all */
	ForestSource source;
	void	   *image;
	size_t		image_size;
} Import;

static const char usage_text[] =
"pg_risk_xgboost takes XGBoost models into pg_risk.\n"
"\n"
"Usage:\n"
"  pg_risk_xgboost import [OPTION]... < MODEL\n"
"  pg_risk_xgboost inspect [OPTION]... MODEL\n"
"  pg_risk_xgboost predict [OPTION]... MODEL\n"
"\n"
"MODEL is a file that XGBoost saved (JSON, UBJSON or its old binary format);\n"
"\"-\" is standard input.\n"
"\n"
"Options:\n"
"  --best-iteration   use the trees up to the model's best iteration only\n"
"  --missing=X        X means missing, like NaN\n"
"\n"
"Options of import, which limits itself before it reads the model:\n"
"  --memory-mb=N      address space (default 2048)\n"
"  --cpu-seconds=N    processor time (default 60)\n"
"  --open-files=N     open files (default 64)\n"
"\n"
"Options of predict:\n"
"  --rows=FILE        CSV: a line of names, then one value a feature in the\n"
"                     model's order, nothing for missing (default standard input)\n"
"  --engine=ENGINE    forest (default) or xgboost\n"
"  --contributions    what each feature adds to margins, instead of scores\n"
"\n"
"Exit status: 0 done, 1 model refused, 2 wrong usage.\n";

/* End for wrong usage. */
static void __attribute__((noreturn, format(printf, 1, 2)))
usage_error(const char *format,...)
{
	va_list		arguments;

	fputs("pg_risk_xgboost: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\nTry \"pg_risk_xgboost --help\" for more information.\n", stderr);
	exit(EXIT_USAGE);
}

/* A positive whole number. */
static long
parse_count(const char *name, const char *text)
{
	char	   *end;
	long		count;

	errno = 0;
	count = strtol(text, &end, 10);
	if (*text == '\0' || *end != '\0' || errno != 0 || count < 1 || count > 1 << 30)
		usage_error("--%s wants a positive number, not \"%s\"", name, text);
	return count;
}

/* Options of all commands. */
static void
parse_options(int argc, char **argv, Options *options)
{
	static const struct option known[] = {
		{"missing", required_argument, NULL, 'x'},
		{"best-iteration", no_argument, NULL, 'b'},
		{"memory-mb", required_argument, NULL, 'm'},
		{"cpu-seconds", required_argument, NULL, 'c'},
		{"open-files", required_argument, NULL, 'o'},
		{"rows", required_argument, NULL, 'r'},
		{"engine", required_argument, NULL, 'e'},
		{"contributions", no_argument, NULL, 'k'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			index = 0;
	int			option;
	char	   *end;

	while ((option = getopt_long(argc, argv, "", known, &index)) != -1)
	{
		switch (option)
		{
			case 'x':
				options->missing = strtof(optarg, &end);
				if (*optarg == '\0' || *end != '\0')
					usage_error("--missing wants a number, not \"%s\"", optarg);
				break;
			case 'b':
				options->best_iteration = true;
				break;
			case 'm':
				options->limits.memory_mb = parse_count(known[index].name, optarg);
				break;
			case 'c':
				options->limits.cpu_seconds = parse_count(known[index].name, optarg);
				break;
			case 'o':
				options->limits.open_files = parse_count(known[index].name, optarg);
				break;
			case 'r':
				options->rows = optarg;
				break;
			case 'e':
				options->with_library = strcmp(optarg, "xgboost") == 0;
				if (!options->with_library && strcmp(optarg, "forest") != 0)
					usage_error("--engine wants forest or xgboost, not \"%s\"", optarg);
				break;
			case 'k':
				options->contributions = true;
				break;
			case 'h':
				fputs(usage_text, stdout);
				exit(0);
			default:
				fputs("Try \"pg_risk_xgboost --help\" for more information.\n", stderr);
				exit(EXIT_USAGE);
		}
	}
	if (optind < argc)
		options->file = argv[optind++];
	if (optind < argc)
		usage_error("too many arguments");
}

/* Open a file to read; "-" and NULL are standard input. */
static FILE *
open_file(const char *name)
{
	FILE	   *stream = name == NULL || strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");

	if (stream == NULL)
		refuse(REFUSE_MALFORMED, NULL, "could not open \"%s\": %s", name, strerror(errno));
	return stream;
}

/* All bytes of a stream. */
static void
read_all(FILE *stream, Buffer *buffer)
{
	size_t		got;

	do
	{
		got = fread(buffer_reserve(buffer, READ_SIZE), 1, READ_SIZE, stream);
		buffer->size += got;
	} while (got > 0);
	if (ferror(stream))
		refuse(REFUSE_MALFORMED, NULL, "could not read the model: %s", strerror(errno));
}

/* Parse a file of any format; the old binary one by way of libxgboost. */
static void
read_model(Buffer *file, Import *import)
{
	ModelFormat format = format_of(file->data, file->size);
	const Value *document;

	if (format == FORMAT_JSON)
		document = document_parse_json(file->data, file->size);
	else if (format == FORMAT_UBJSON)
		document = document_parse_ubjson(file->data, file->size);
	else
	{
		Buffer		ubjson = {0};

		import->release_text = format_binary_release(file->data, file->size);
		library_convert(file->data, file->size, &ubjson);
		document = document_parse_ubjson(ubjson.data, ubjson.size);
		buffer_free(&ubjson);
	}
	buffer_free(file);
	import->model = model_read(document, format);
	if (format != FORMAT_BINARY)
		import->release_text = import->model->release_text;
}

/* How many rounds to use; 0: all. */
static int64_t
choose_rounds(const Model *model, const Options *options)
{
	if (!options->best_iteration)
		return 0;
	if (model->booster == BOOSTER_GBLINEAR)
		refuse(REFUSE_UNSUPPORTED, "Import the model with all its rounds.",
			   "a linear model cannot be cut at its best iteration");
	if (model->best_iteration < 0)
		refuse(REFUSE_UNSUPPORTED,
			   "Train with early stopping, which sets the attribute, or import the model with all its rounds.",
			   "model has no attribute \"best_iteration\"");
	if (model->best_iteration >= model->rounds)
		refuse(REFUSE_MALFORMED, "Import the model with all its rounds.",
			   "best iteration %lld is not one of the model's %lld rounds",
			   (long long) model->best_iteration, (long long) model->rounds);
	return model->best_iteration + 1;
}

/* From a file to an image. */
static void
take_model(FILE *stream, const Options *options, Import *import)
{
	Buffer		file = {0};
	const char *why;

	memset(import, 0, sizeof(*import));
	read_all(stream, &file);
	library_open();
	read_model(&file, import);
	import->rounds = choose_rounds(import->model, options);
	model_source(import->model, import->rounds, options->missing, &import->source);
	import->image = forest_build(&import->source, &import->image_size, &why);
	if (import->image == NULL)
		refuse(strstr(why, "memory") != NULL ? REFUSE_LIMIT : REFUSE_UNSUPPORTED,
			   "Train the model on fewer or smaller categories, features or trees.",
			   "cannot make a forest of the model: %s", why);
	why = forest_check(import->image, import->image_size);
	if (why != NULL)
		refuse(REFUSE_UNSUPPORTED, "Report this model to the authors of pg_risk.",
			   "the forest of the model is not sound: %s", why);
}

/* What to tell of an import. */
static Report
make_report(const Import *import, const Certificate *certificate)
{
	Report		report = {
		.model = import->model,
		.header = import->image,
		.certificate = certificate,
		.release_text = import->release_text,
		.used_rounds = import->rounds > 0 ? import->rounds : import->model->rounds,
		.importance = report_importance(import->model, import->source.num_trees)
	};

	return report;
}

/* "import": confined; a line of JSON and the image to standard output. */
static void
run_import(const Options *options)
{
	Import		import;
	Certificate certificate;
	Report		report;
	FILE	   *output;

	if (options->file != NULL)
		usage_error("import reads the model from standard input");
	refusal_open(stdout, true);
	confine(&options->limits);
	output = confine_output(STDOUT_FILENO);
	refusal_open(output, true);
	fclose(confine_output(STDERR_FILENO));
	take_model(stdin, options, &import);
	certify(import.model, &import.source, import.image, import.rounds, &certificate);

	report = make_report(&import, &certificate);
	refusal_close();
	signal(SIGXCPU, SIG_IGN);
	report_as_json(&report, output);
	fwrite(import.image, 1, import.image_size, output);
	if (fflush(output) != 0 || ferror(output))
		_exit(1);
	_exit(0);
}

/* "inspect" and "predict": as a person started it. */
static void
run_by_hand(const Options *options, bool is_predict)
{
	Import		import;
	FILE	   *output = confine_output(STDOUT_FILENO);
	FILE	   *errors = confine_output(STDERR_FILENO);

	refusal_open(errors, false);
	if (options->file == NULL)
		refuse(REFUSE_MALFORMED, "Name a file, or \"-\" for standard input.", "no model given");
	take_model(open_file(options->file), options, &import);
	if (is_predict)
		(options->contributions ? contribute : predict) (import.model, &import.source, import.image,
														 import.rounds, options->with_library,
														 open_file(options->rows), output);
	else
	{
		Certificate certificate;
		Report		report;

		certify(import.model, &import.source, import.image, import.rounds, &certificate);
		report = make_report(&import, &certificate);
		report_as_text(&report, output);
	}
	if (fflush(output) != 0)
		refuse(REFUSE_LIMIT, NULL, "could not write: %s", strerror(errno));
	_exit(0);
}

int
main(int argc, char **argv)
{
	Options		options = {
		.missing = NAN,
		.limits = {DEFAULT_MEMORY_MB, DEFAULT_CPU_SECONDS, DEFAULT_OPEN_FILES}
	};
	const char *command = argc > 1 ? argv[1] : "";

	if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
	{
		fputs(usage_text, stdout);
		return 0;
	}
	if (strcmp(command, "import") != 0 && strcmp(command, "inspect") != 0 &&
		strcmp(command, "predict") != 0)
		usage_error("\"%s\" is not a command", command);
	parse_options(argc - 1, argv + 1, &options);
	if (strcmp(command, "import") == 0)
		run_import(&options);
	run_by_hand(&options, strcmp(command, "predict") == 0);
}
