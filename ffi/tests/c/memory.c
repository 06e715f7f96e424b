/* Memory stays where it is, however much is checked: memory BUNDLE CHECKS. Linux. */
#define _POSIX_C_SOURCE 200809L
#include <duoguard.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ALLOWED_BYTES = 1024 * 1024 };

/* Resident memory in bytes. */
static long resident(void) {
    long total = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &total, &pages) != 2) {
        perror("/proc/self/statm");
        exit(2);
    }
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* Texts of many lengths, all different: up to about 150 characters. */
static size_t write_text(char *text, size_t size, long number) {
    size_t used = 0;
    for (long i = 0; i <= number % 8; i++) {
        int written = snprintf(text + used, size - used, "loaf %ld of bread, ", number * 31 + i);
        if (written < 0 || (size_t)written >= size - used)
            break;
        used += (size_t)written;
    }
    return used;
}

static void check_many(duoguard_session *session, long first, long count) {
    char text[1024];
    for (long i = first; i < first + count; i++) {
        duoguard_verdict verdict = DUOGUARD_VERDICT_INIT;
        duoguard_input input = DUOGUARD_INPUT_INIT;
        duoguard_error error;
        size_t size = write_text(text, sizeof text, i);
        /* Every hundredth check is one that fails: errors must not cost memory either. */
        duoguard_status expected = i % 100 == 0 ? DUOGUARD_INVALID_ARGUMENT : DUOGUARD_OK;
        if (expected != DUOGUARD_OK)
            text[size / 2] = '\xff';
        input.prompt = text;
        input.prompt_size = size;
        if (duoguard_session_check(session, &input, NULL, NULL, 0, &verdict, &error) != expected) {
            fprintf(stderr, "check %ld: not %s\n", i, duoguard_status_name(expected));
            exit(1);
        }
    }
}

int main(int argc, char **argv) {
    duoguard_model *model = NULL;
    duoguard_session *session = NULL;
    duoguard_error error;
    long checks, warm_up, before, growth;
    if (argc != 3 || (checks = strtol(argv[2], NULL, 10)) <= 0) {
        fprintf(stderr, "usage: memory BUNDLE CHECKS\n");
        return 2;
    }
    if (duoguard_model_open(argv[1], &model, &error) != DUOGUARD_OK ||
        duoguard_session_new(model, NULL, &session, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 2;
    }
    /* The library remembers some sixteen thousand words and no more: first they are met, one to
     * eight new ones a check. */
    warm_up = checks / 20 + 6000;
    check_many(session, 0, warm_up);
    before = resident();
    check_many(session, warm_up, checks);
    growth = resident() - before;
    printf("memory: %ld bytes after %ld checks, %+ld bytes after %ld more\n", before, warm_up,
           growth, checks);
    duoguard_session_free(session);
    duoguard_model_free(model);
    return growth <= ALLOWED_BYTES ? 0 : 1;
}
