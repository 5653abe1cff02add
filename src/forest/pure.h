/*
 * pure.h
 *		Guard of the pure cores: included last by each of their .c files, it
 *		fails the build when a server header has found its way in.
 */
#if defined(POSTGRES_H) || defined(C_H)
#error "a pure core must not include PostgreSQL headers"
#endif
