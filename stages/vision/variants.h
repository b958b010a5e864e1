#ifndef BAGPIPE_VARIANTS_H
#define BAGPIPE_VARIANTS_H

// A kernel is an inline body that the compiler vectorises, built once for each level
// that bp_level tells apart: V3 marks the function that may use x86-64-v3. Files are
// compiled as ISO C, where a*b+c is never contracted: all levels round alike.

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("no-trapping-math") // lets comparisons become blends
#endif

#define BODY static inline __attribute__((always_inline)) void

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_V3 1
#define V3 static __attribute__((target("avx,avx2,bmi,bmi2,lzcnt,movbe,f16c"))) void
#endif

// PICK calls the variant of a kernel that level asks for.
#ifdef HAS_V3
#define PICK(name, ...) \
	if (level) { \
		name##_v3(__VA_ARGS__); \
		return; \
	} \
	name(__VA_ARGS__)
#else
#define PICK(name, ...) \
	(void)level; \
	name(__VA_ARGS__)
#endif

#endif
