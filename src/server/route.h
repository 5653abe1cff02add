/*
 * route.h
 *		The route of a model: what its versions do at this moment, as the
 *		snapshot of a statement sees it, with the settings that go with it.
 */
#ifndef PG_RISK_ROUTE_H
#define PG_RISK_ROUTE_H

#include "postgres.h"

#include "utils/jsonb.h"

#include "problem.h"

/* What a version does on live traffic. */
typedef enum VersionRole
{
	ROLE_CHAMPION,				/* decides */
	ROLE_CANARY,				/* decides for its share of the entities */
	ROLE_SHADOW,				/* scores, never decides */
	ROLE_FALLBACK				/* no version could score: the declared score */
} VersionRole;

typedef enum LogMode
{
	LOG_OFF,
	LOG_QUEUED,
	LOG_TRANSACTIONAL
} LogMode;

typedef enum FeatureLog
{
	FEATURES_NONE,
	FEATURES_HASH,
	FEATURES_FULL
} FeatureLog;

typedef struct RoutedVersion
{
	int64		version_id;		/* 0: there is none */
	double		percent;		/* of the entities */
	int64		salt;			/* of the hash that chooses them */
} RoutedVersion;

typedef struct Route
{
	/* by which route_is_same() tells what another snapshot would see */
	bool		seen;			/* whether that can be told; see changes.h */
	uint64		state;
	uint64		generation;

	RoutedVersion champion;
	RoutedVersion canary;
	RoutedVersion *shadows;		/* [num_shadows], paused ones left out */
	int			num_shadows;

	int			positive_class; /* -1: the model has none */
	LogMode		log;
	double		log_percent;
	FeatureLog	log_features;
	bool		has_fallback;
	double		fallback_score;
	char	   *entity_id;		/* names of columns; NULL: none */
	char	   *event_time;
	char	  **cohorts;		/* [num_cohorts] */
	int			num_cohorts;
	Jsonb	   *bands;			/* NULL: none */
} Route;

extern void route_read(const char *model, Route *route);
extern bool route_is_same(const Route *route);
extern const char *route_role_name(VersionRole role);
extern void route_no_champion(const char *model, Problem *problem);
extern bool route_selects(double percent, int64 salt, const char *entity);
extern char *route_action(const Route *route, double score);

#endif							/* PG_RISK_ROUTE_H */
