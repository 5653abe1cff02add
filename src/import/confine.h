/*
 * confine.h
 *		The limits that the importer puts on itself.
 */
#ifndef IMPORT_CONFINE_H
#define IMPORT_CONFINE_H

#include <stdio.h>

typedef struct Limits
{
	long		memory_mb;		/* address space */
	long		cpu_seconds;
	long		open_files;
} Limits;

#define DEFAULT_MEMORY_MB	2048
#define DEFAULT_CPU_SECONDS	60
#define DEFAULT_OPEN_FILES	64

/*
 * Keep the present stdout (or stderr) as a stream of ours and point the
 * descriptor at /dev/null, so that no library can write to it.
 */
extern FILE *confine_output(int descriptor);

/*
 * Give up what an import does not need, before a byte of the model is read:
 * memory, time, files, inherited descriptors, the working directory; die with
 * the parent.
 */
extern void confine(const Limits *limits);

#endif							/* IMPORT_CONFINE_H */
