/* The test suite: suite BUNDLE WORK_FOLDER, where the folder is empty and writable. */
#include "test.h"

int failures = 0;

static const char *const NAMES[FILES] = {"manifest.json", "tokenizer.json", "model.onnx",
                                         "stream.onnx", "weights.data"};

static void *allocated(size_t size) {
    void *memory = malloc(size);
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    return memory;
}

static FILE *opened(const char *folder, const char *name, const char *mode) {
    char path[1024];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, mode);
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    return file;
}

bundle bundle_read(const char *folder) {
    bundle read;
    for (size_t i = 0; i < FILES; i++) {
        FILE *file = opened(folder, NAMES[i], "rb");
        long size;
        fseek(file, 0, SEEK_END);
        size = ftell(file);
        rewind(file);
        read.data[i] = allocated((size_t)size);
        if (fread(read.data[i], 1, (size_t)size, file) != (size_t)size) {
            perror(NAMES[i]);
            exit(2);
        }
        fclose(file);
        read.files[i].name = NAMES[i];
        read.files[i].data = read.data[i];
        read.files[i].size = (size_t)size;
    }
    return read;
}

void bundle_write(const bundle *bundle, const char *folder) {
    for (size_t i = 0; i < FILES; i++) {
        FILE *file = opened(folder, NAMES[i], "wb");
        size_t size = bundle->files[i].size;
        CHECK(fwrite(bundle->files[i].data, 1, size, file) == size);
        fclose(file);
    }
}

void bundle_free(bundle *bundle) {
    for (size_t i = 0; i < FILES; i++)
        free(bundle->data[i]);
}

duoguard_model *open_model(const char *folder) {
    duoguard_model *model = NULL;
    duoguard_error error;
    if (duoguard_model_open(folder, &model, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    return model;
}

duoguard_session *open_session(const duoguard_model *model) {
    duoguard_session *session = NULL;
    duoguard_options options = DUOGUARD_OPTIONS_INIT;
    duoguard_error error;
    /* The embedded one. */
    options.engine = duoguard_engine_name(0);
    if (duoguard_session_new(model, &options, &session, &error) != DUOGUARD_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    return session;
}

duoguard_input input_of(const char *prompt, size_t prompt_size, const char *response,
                        size_t response_size) {
    duoguard_input input = DUOGUARD_INPUT_INIT;
    input.prompt = prompt;
    input.prompt_size = prompt_size;
    input.response = response;
    input.response_size = response_size;
    return input;
}

duoguard_status check_prompt(duoguard_session *session, const char *prompt, size_t size,
                             float *scores, size_t score_count, duoguard_verdict *verdict,
                             duoguard_error *error) {
    duoguard_input input = input_of(prompt, size, NULL, 0);
    return duoguard_session_check(session, &input, NULL, scores, score_count, verdict, error);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: suite BUNDLE WORK_FOLDER\n");
        return 2;
    }
    test_versions();
    test_model(argv[1]);
    test_damage(argv[1], argv[2]);
    test_options(argv[1]);
    test_check(argv[1]);
    test_stream(argv[1]);
    if (failures != 0) {
        fprintf(stderr, "%d checks failed\n", failures);
        return 1;
    }
    printf("suite: all checks passed\n");
    return 0;
}
