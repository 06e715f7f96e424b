// Is a text unsafe? check BUNDLE PROMPT [RESPONSE]
//
// Exits with 0 when it is safe, 1 when it is not, 2 when it was not checked.
#include "duoguard.hpp"

#include <iostream>

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) {
        std::cerr << "usage: check BUNDLE PROMPT [RESPONSE]\n";
        return 2;
    }
    try {
        const duoguard::Model model(argv[1]);
        duoguard::Session session(model);
        const duoguard::Verdict verdict =
            argc == 4 ? session.check(argv[2], argv[3]) : session.check(argv[2]);
        std::cout << (verdict.summary.flagged ? "unsafe" : "safe") << '\n';
        const std::vector<std::string> names = model.categories();
        for (std::size_t i = 0; i < names.size(); i++)
            std::cout << "  " << verdict.scores[i] << ' ' << names[i] << '\n';
        return verdict.summary.flagged ? 1 : 0;
    } catch (const std::exception &error) {
        std::cerr << "not checked: " << error.what() << '\n';
        return 2;
    }
}
