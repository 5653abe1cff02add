/*
 * driver.c
 *		Runs a fuzz target on a fixed number of mutants of seed files, the same
 *		ones every time, and reports each family of mutations in TAP.
 *
 *	NAME_mutants [--inputs=N] [--seed=N] [--keep=PREFIX] FILE...
 *	NAME_mutants --replay FILE...
 *	NAME_mutants --seeds=FOLDER FILE...
 *
 * --replay tries inputs as they are; --seeds writes the target's seeds, made of
 * model files, to a folder.  An input that breaks a promise, a sanitizer's rule
 * or the time limit is written to PREFIX-FAMILY-NUMBER and ends the program.
 */
#include <getopt.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "fuzz.h"

#define SECONDS_PER_INPUT	2	/* of processor time */
#define LARGE_SEED			((size_t) 32 << 10)
#define LARGE_SHARE			200	/* one in so many inputs is of a large seed */

typedef struct Seeds
{
	Input	   *inputs;
	uint32_t	count;
} Seeds;

/* What is being tried, for the report of its failure. */
static Input current;
static uint32_t family_number;
static uint64_t input_number;
static uint64_t seed_number = 1;
static const char *keep_prefix = "fuzz";

/* Keep the input and say which it was; for signal handlers too. */
static void
report_failure(const char *what)
{
	char		name[512];
	char		line[1024];
	FILE	   *file;

	snprintf(name, sizeof(name), "%s-%u-%llu", keep_prefix, family_number,
			 (unsigned long long) input_number);
	file = fopen(name, "wb");
	if (file != NULL)
	{
		fwrite(current.data, 1, current.size, file);
		fclose(file);
	}
	snprintf(line, sizeof(line),
			 "not ok %u - %s: %s\n# seed %llu, input %llu, %zu bytes, kept in %s\n",
			 family_number + 1, fuzz_families[family_number].name, what,
			 (unsigned long long) seed_number, (unsigned long long) input_number,
			 current.size, name);
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		_Exit(3);
}

/* A sanitizer has found something and is about to end the program. */
static void
report_death(void)
{
	report_failure("a sanitizer's report");
}

/* One input takes too long. */
static void
report_time(int signal_number)
{
	(void) signal_number;
	report_failure("more than 2 s of processor time");
	_Exit(1);
}

/* See fuzz.h. */
void
fuzz_fail(const char *format,...)
{
	char		what[2048];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	report_failure(what);
	_Exit(1);
}

/* Try the current input against the clock. */
static bool
try_current(void)
{
	struct itimerval limit = {.it_value = {.tv_sec = SECONDS_PER_INPUT}};
	struct itimerval none = {.it_value = {.tv_sec = 0}};
	bool		is_accepted;

	setitimer(ITIMER_PROF, &limit, NULL);
	is_accepted = fuzz_try(current.data, current.size);
	setitimer(ITIMER_PROF, &none, NULL);
	return is_accepted;
}

/* Read a file into an input. */
static void
read_file(const char *name, Input *input)
{
	FILE	   *file = fopen(name, "rb");
	char	   *bytes = malloc(INPUT_LIMIT);

	if (file == NULL || bytes == NULL)
	{
		fprintf(stderr, "could not read \"%s\"\n", name);
		exit(2);
	}
	input_set(input, bytes, fread(bytes, 1, INPUT_LIMIT, file));
	fclose(file);
	free(bytes);
}

/* The target's seeds of all files; those that cannot be are left out. */
static Seeds
read_seeds(char **files)
{
	Seeds		seeds = {0};

	for (; *files != NULL; files++)
	{
		Input		input = {0};

		read_file(*files, &input);
		input_set(&current, input.data, input.size);
		if (!fuzz_seed(&input))
		{
			free(input.data);
			continue;
		}
		seeds.inputs = realloc(seeds.inputs, (seeds.count + 1) * sizeof(Input));
		if (seeds.inputs == NULL)
			abort();
		seeds.inputs[seeds.count++] = input;
	}
	return seeds;
}

/* A seed that a family takes, seldom a large one; NULL when there is none. */
static const Input *
choose_seed(const Seeds *seeds, const Family *family, Random *random)
{
	bool		is_large = random_below(random, LARGE_SHARE) == 0;
	const Input *chosen = NULL;
	uint32_t	seen = 0;

	for (uint32_t i = 0; i < seeds->count; i++)
	{
		const Input *input = &seeds->inputs[i];

		if (family->takes(input) && (is_large || input->size <= LARGE_SEED) &&
			random_below(random, ++seen) == 0)
			chosen = input;
	}
	return chosen;
}

/* Run one family; false when there are no seeds for it. */
static bool
run_family(const Seeds *seeds, const Family *family, uint64_t inputs)
{
	uint64_t	accepted = 0;

	for (input_number = 0; input_number < inputs; input_number++)
	{
		Random		random = {seed_number << 48 ^ (uint64_t) family_number << 40 ^ input_number};
		const Input *seed;
		const Input *other;

		random_bits(&random);
		seed = choose_seed(seeds, family, &random);
		other = choose_seed(seeds, family, &random);
		if (seed == NULL || other == NULL)
			break;
		input_set(&current, seed->data, seed->size);
		family->mutate(&current, other, &random);
		accepted += try_current();
	}
	printf("%s %u - %s: %llu inputs, %llu accepted\n", input_number == inputs ? "ok" : "not ok",
		   family_number + 1, family->name, (unsigned long long) input_number,
		   (unsigned long long) accepted);
	fflush(stdout);
	return input_number == inputs;
}

/* Every family, the seeds themselves first. */
static int
run_families(const Seeds *seeds, uint64_t inputs)
{
	uint32_t	count = 0;
	uint32_t	failures = 0;

	for (uint32_t i = 0; i < seeds->count; i++)
	{
		input_number = i;
		input_set(&current, seeds->inputs[i].data, seeds->inputs[i].size);
		try_current();
	}
	while (fuzz_families[count].name != NULL)
		count++;
	for (family_number = 0; family_number < count; family_number++)
		failures += !run_family(seeds, &fuzz_families[family_number], inputs / count);
	printf("1..%u\n", count);
	family_number = 0;
	return failures > 0;
}

/* Try inputs as they are. */
static int
replay(char **files)
{
	for (; *files != NULL; files++)
	{
		read_file(*files, &current);
		printf("%s: %s\n", *files, try_current() ? "accepted" : "refused");
	}
	return 0;
}

/* Write the seeds to a folder. */
static int
write_seeds(const Seeds *seeds, const char *folder)
{
	for (uint32_t i = 0; i < seeds->count; i++)
	{
		char		name[1024];
		FILE	   *file;

		snprintf(name, sizeof(name), "%s/%016llx", folder,
				 (unsigned long long) hash_of(seeds->inputs[i].data, seeds->inputs[i].size));
		file = fopen(name, "wb");
		if (file == NULL || fwrite(seeds->inputs[i].data, 1, seeds->inputs[i].size, file)
			!= seeds->inputs[i].size || fclose(file) != 0)
		{
			fprintf(stderr, "could not write \"%s\"\n", name);
			return 2;
		}
	}
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {
		{"inputs", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'},
		{"keep", required_argument, NULL, 'k'},
		{"seeds", required_argument, NULL, 'w'},
		{"replay", no_argument, NULL, 'r'},
		{NULL, 0, NULL, 0}
	};
	uint64_t	inputs = 10000;
	const char *folder = NULL;
	bool		is_replay = false;
	int			option;
	static Seeds seeds;			/* static: not a leak */

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
	{
		switch (option)
		{
			case 'n':
				inputs = strtoull(optarg, NULL, 10);
				break;
			case 's':
				seed_number = strtoull(optarg, NULL, 10);
				break;
			case 'k':
				keep_prefix = optarg;
				break;
			case 'w':
				folder = optarg;
				break;
			case 'r':
				is_replay = true;
				break;
			default:
				return 2;
		}
	}
	__sanitizer_set_death_callback(report_death);
	signal(SIGPROF, report_time);
	if (is_replay)
		return replay(argv + optind);
	seeds = read_seeds(argv + optind);
	return folder != NULL ? write_seeds(&seeds, folder) : run_families(&seeds, inputs);
}
