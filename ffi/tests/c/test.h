/* A test program in C: CHECK counts what fails, and a bundle in memory to try things with. */
#ifndef DUOGUARD_TEST_H
#define DUOGUARD_TEST_H

#include <duoguard.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int failures;

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            failures++;                                                              \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                            \
    } while (0)

/* The call fails with this status and a message that contains `words`. */
#define CHECK_FAILS(expected, words, call)                                                    \
    do {                                                                                      \
        duoguard_error error;                                                                 \
        duoguard_status status_;                                                              \
        memset(&error, '#', sizeof error);                                                    \
        status_ = (call);                                                                     \
        if (status_ != (expected)) {                                                          \
            failures++;                                                                       \
            fprintf(stderr, "%s:%d: %s, expected %s: %s\n", __FILE__, __LINE__,               \
                    duoguard_status_name(status_), duoguard_status_name(expected), #call);    \
        } else if (memchr(error.message, 0, sizeof error.message) == NULL ||                  \
                   strstr(error.message, (words)) == NULL) {                                  \
            failures++;                                                                       \
            fprintf(stderr, "%s:%d: the message has no \"%s\": %.200s\n", __FILE__, __LINE__, \
                    (words), error.message);                                                  \
        }                                                                                     \
    } while (0)

enum { FILES = 5 };

/* The files of a bundle, read into memory that the program owns. */
typedef struct bundle {
    duoguard_file files[FILES];
    unsigned char *data[FILES];
} bundle;

bundle bundle_read(const char *folder);
void bundle_write(const bundle *bundle, const char *folder);
void bundle_free(bundle *bundle);

duoguard_model *open_model(const char *folder);
duoguard_session *open_session(const duoguard_model *model);

/* A prompt and, unless it is NULL, the response to it. */
duoguard_input input_of(const char *prompt, size_t prompt_size, const char *response,
                        size_t response_size);
/* Checks a prompt alone, as a check is by default. */
duoguard_status check_prompt(duoguard_session *session, const char *prompt, size_t size,
                             float *scores, size_t score_count, duoguard_verdict *verdict,
                             duoguard_error *error);

void test_versions(void);
void test_model(const char *folder);
void test_damage(const char *folder, const char *work);
void test_options(const char *folder);
void test_check(const char *folder);
void test_stream(const char *folder);

#endif
