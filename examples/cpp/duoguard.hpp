// An example of how a C++11 program can wrap the C API: objects that free themselves, errors as
// exceptions. Copy it and make it yours: it is not a second API, and gives no promise to stay as it
// is.
#ifndef DUOGUARD_HPP
#define DUOGUARD_HPP

#include <duoguard.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace duoguard {

/// A call that failed. Whatever was to be checked was not: do not take it for safe.
class Error : public std::runtime_error {
public:
    Error(duoguard_status status, const duoguard_error &error)
        : std::runtime_error(error.message), status_(status) {}
    duoguard_status status() const noexcept { return status_; }

private:
    duoguard_status status_;
};

inline void require(duoguard_status status, const duoguard_error &error) {
    if (status != DUOGUARD_OK)
        throw Error(status, error);
}

/// A bundle, opened. Threads may share it.
class Model {
public:
    explicit Model(const std::string &path) {
        duoguard_error error;
        duoguard_model *opened = nullptr;
        require(duoguard_model_open(path.c_str(), &opened, &error), error);
        handle_.reset(opened);
    }

    std::vector<std::string> categories() const {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < duoguard_model_category_count(get()); i++)
            names.emplace_back(duoguard_model_category_name(get(), i));
        return names;
    }

    const duoguard_model *get() const noexcept { return handle_.get(); }

private:
    struct Free {
        void operator()(duoguard_model *model) const noexcept { duoguard_model_free(model); }
    };
    std::unique_ptr<duoguard_model, Free> handle_;
};

struct Verdict {
    duoguard_verdict summary;
    std::vector<float> scores;
};

/// A model on an engine. One thread at a time may use it; it may outlive its model.
class Session {
public:
    explicit Session(const Model &model, const duoguard_options &options = DUOGUARD_OPTIONS_INIT)
        : categories_(duoguard_model_category_count(model.get())) {
        duoguard_error error;
        duoguard_session *made = nullptr;
        require(duoguard_session_new(model.get(), &options, &made, &error), error);
        handle_.reset(made);
    }

    /// A prompt alone.
    Verdict check(const std::string &prompt,
                  const duoguard_check_options &options = DUOGUARD_CHECK_OPTIONS_INIT) {
        return check(input_of(prompt), options);
    }

    /// A response, with the prompt that it answers.
    Verdict check(const std::string &prompt, const std::string &response,
                  const duoguard_check_options &options = DUOGUARD_CHECK_OPTIONS_INIT) {
        duoguard_input input = input_of(prompt);
        input.response = response.data();
        input.response_size = response.size();
        return check(input, options);
    }

    Verdict check(const duoguard_input &input, const duoguard_check_options &options) {
        Verdict verdict = {DUOGUARD_VERDICT_INIT, std::vector<float>(categories_)};
        duoguard_error error;
        require(duoguard_session_check(handle_.get(), &input, &options, verdict.scores.data(),
                                       verdict.scores.size(), &verdict.summary, &error),
                error);
        return verdict;
    }

private:
    static duoguard_input input_of(const std::string &prompt) {
        duoguard_input input = DUOGUARD_INPUT_INIT;
        input.prompt = prompt.data();
        input.prompt_size = prompt.size();
        return input;
    }

    struct Free {
        void operator()(duoguard_session *session) const noexcept {
            duoguard_session_free(session);
        }
    };
    std::unique_ptr<duoguard_session, Free> handle_;
    std::size_t categories_;
};

} // namespace duoguard

#endif
