/* Prints the header's constants and layouts; a test of the library compares them with its own. */
#include <duoguard.h>

#include <stdio.h>

#define VALUE(name) printf(#name " %lu\n", (unsigned long)(name))
#define SIZE(type) printf("sizeof " #type " %lu\n", (unsigned long)sizeof(duoguard_##type))
#define OFFSET(type, field) printf(#type "." #field " %lu\n", (unsigned long)offsetof(duoguard_##type, field))

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
    SIZE(error);
    SIZE(file);
    OFFSET(file, name);
    OFFSET(file, data);
    OFFSET(file, size);
    SIZE(options);
    OFFSET(options, struct_size);
    OFFSET(options, threads);
    OFFSET(options, engine);
    SIZE(stream_options);
    OFFSET(stream_options, struct_size);
    OFFSET(stream_options, debounce_bytes);
    OFFSET(stream_options, prompt);
    OFFSET(stream_options, prompt_size);
    OFFSET(stream_options, rescore);
    OFFSET(stream_options, reserved);
    SIZE(verdict);
    OFFSET(verdict, struct_size);
    OFFSET(verdict, flagged);
    OFFSET(verdict, top_category);
    OFFSET(verdict, top_score);
    OFFSET(verdict, tokens);
    OFFSET(verdict, tokens_scored);
    OFFSET(verdict, windows);
    OFFSET(verdict, language);
    printf("sizeof language %lu\n", (unsigned long)sizeof(((duoguard_verdict *)0)->language));
    return 0;
}
