/* Prints the header's constants and layouts; a test of the library compares them with its own. */
#include <duoguard.h>

#include <stdio.h>

#define VALUE(name) printf(#name " %lu\n", (unsigned long)(name))
#define SIZE(type) printf("sizeof " #type " %lu\n", (unsigned long)sizeof(duoguard_##type))
#define OFFSET(type, field) \
    printf(#type "." #field " %lu\n", (unsigned long)offsetof(duoguard_##type, field))

/* Does not compile unless it holds. */
#define ASSERT(name, condition) typedef char assert_##name[(condition) ? 1 : -1]
/* The numbers and pointers of a struct fill it: there is no byte that no field says. */
#define FILLED(type, numbers, pointers) \
    ASSERT(type, sizeof(duoguard_##type) == (numbers) + (pointers) * sizeof(void *))

FILLED(file, 0, 3);
FILLED(model_options, 8, 1);
FILLED(options, 8, 1);
FILLED(input, 8, 5);
FILLED(check_options, 24, 2);
FILLED(stream_options, 8, 5);
FILLED(verdict, 104, 0);
/* A size is as large as a pointer, and so is what FILLED counts as one. */
ASSERT(size, sizeof(size_t) == sizeof(void *));

int main(void) {
    VALUE(DUOGUARD_ABI_VERSION);
    VALUE(DUOGUARD_MESSAGE_SIZE);
    VALUE(DUOGUARD_OK);
    VALUE(DUOGUARD_INVALID_ARGUMENT);
    VALUE(DUOGUARD_IO);
    VALUE(DUOGUARD_INVALID_MODEL);
    VALUE(DUOGUARD_UNSUPPORTED);
    VALUE(DUOGUARD_ENGINE);
    VALUE(DUOGUARD_OUT_OF_MEMORY);
    VALUE(DUOGUARD_PANIC);
    VALUE(DUOGUARD_JOIN_SPACE);
    VALUE(DUOGUARD_JOIN_NEWLINE);
    VALUE(DUOGUARD_JOIN_SEPARATE);
    VALUE(DUOGUARD_CACHE_DEFAULT);
    VALUE(DUOGUARD_CACHE_ON);
    VALUE(DUOGUARD_CACHE_OFF);
    SIZE(error);
    OFFSET(error, message);
    SIZE(file);
    OFFSET(file, name);
    OFFSET(file, data);
    OFFSET(file, size);
    SIZE(model_options);
    OFFSET(model_options, struct_size);
    OFFSET(model_options, reserved);
    OFFSET(model_options, public_key);
    SIZE(options);
    OFFSET(options, struct_size);
    OFFSET(options, threads);
    OFFSET(options, engine);
    SIZE(input);
    OFFSET(input, struct_size);
    OFFSET(input, reserved);
    OFFSET(input, prompt);
    OFFSET(input, prompt_size);
    OFFSET(input, response);
    OFFSET(input, response_size);
    OFFSET(input, language);
    SIZE(check_options);
    OFFSET(check_options, struct_size);
    OFFSET(check_options, join);
    OFFSET(check_options, max_tokens);
    OFFSET(check_options, target_fpr);
    OFFSET(check_options, literal);
    OFFSET(check_options, thresholds);
    OFFSET(check_options, threshold_count);
    SIZE(verdict);
    OFFSET(verdict, struct_size);
    OFFSET(verdict, flagged);
    OFFSET(verdict, top_category);
    OFFSET(verdict, top_score);
    OFFSET(verdict, tokens);
    OFFSET(verdict, tokens_scored);
    OFFSET(verdict, windows);
    OFFSET(verdict, language);
    OFFSET(verdict, span_in_response);
    OFFSET(verdict, span_begin);
    OFFSET(verdict, span_end);
    OFFSET(verdict, coverage_partial);
    OFFSET(verdict, reserved);
    SIZE(stream_options);
    OFFSET(stream_options, struct_size);
    OFFSET(stream_options, cache);
    OFFSET(stream_options, prompt);
    OFFSET(stream_options, prompt_size);
    OFFSET(stream_options, language);
    OFFSET(stream_options, check);
    OFFSET(stream_options, debounce_bytes);
    printf("sizeof language %lu\n", (unsigned long)sizeof(((duoguard_verdict *)0)->language));
    return 0;
}
