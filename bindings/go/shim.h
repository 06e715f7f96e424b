/* Calls that build the header's structs in C: cgo lets no struct of Go's hold a pointer to Go's
 * memory, and texts are read where they are, without a copy. */
#ifndef DUOGUARD_GO_SHIM_H
#define DUOGUARD_GO_SHIM_H

#include <duoguard.h>

static inline duoguard_status shim_model_open(const char *path, const char *public_key,
                                              duoguard_model **out, duoguard_error *error) {
    duoguard_model_options options = DUOGUARD_MODEL_OPTIONS_INIT;
    options.public_key = public_key;
    return duoguard_model_open_with(path, &options, out, error);
}

static inline duoguard_status shim_session_new(const duoguard_model *model, const char *engine,
                                               uint32_t threads, duoguard_session **out,
                                               duoguard_error *error) {
    duoguard_options options = DUOGUARD_OPTIONS_INIT;
    options.engine = engine;
    options.threads = threads;
    return duoguard_session_new(model, &options, out, error);
}

static inline duoguard_check_options shim_options(uint32_t join, uint64_t max_tokens,
                                                  float target_fpr, uint32_t literal,
                                                  const float *thresholds, size_t count) {
    duoguard_check_options options = DUOGUARD_CHECK_OPTIONS_INIT;
    options.join = join;
    options.max_tokens = max_tokens;
    options.target_fpr = target_fpr;
    options.literal = literal;
    options.thresholds = thresholds;
    options.threshold_count = count;
    return options;
}

static inline duoguard_status shim_check(duoguard_session *session, const char *prompt,
                                         size_t prompt_size, const char *response,
                                         size_t response_size, const char *language, uint32_t join,
                                         uint64_t max_tokens, float target_fpr, uint32_t literal,
                                         const float *thresholds, size_t threshold_count,
                                         float *scores, size_t score_count,
                                         duoguard_verdict *verdict, duoguard_error *error) {
    duoguard_input input = DUOGUARD_INPUT_INIT;
    duoguard_check_options options =
        shim_options(join, max_tokens, target_fpr, literal, thresholds, threshold_count);
    input.prompt = prompt;
    input.prompt_size = prompt_size;
    input.response = response;
    input.response_size = response_size;
    input.language = language;
    verdict->struct_size = sizeof *verdict;
    return duoguard_session_check(session, &input, &options, scores, score_count, verdict, error);
}

static inline duoguard_status shim_stream_new(duoguard_session *session, const char *prompt,
                                              size_t prompt_size, const char *language,
                                              uint32_t cache, size_t debounce_bytes, uint32_t join,
                                              uint64_t max_tokens, float target_fpr,
                                              uint32_t literal, const float *thresholds,
                                              size_t threshold_count, duoguard_stream **out,
                                              duoguard_error *error) {
    duoguard_stream_options options = DUOGUARD_STREAM_OPTIONS_INIT;
    duoguard_check_options check =
        shim_options(join, max_tokens, target_fpr, literal, thresholds, threshold_count);
    options.prompt = prompt;
    options.prompt_size = prompt_size;
    options.language = language;
    options.cache = cache;
    options.debounce_bytes = debounce_bytes;
    options.check = &check;
    return duoguard_stream_new(session, &options, out, error);
}

#endif
