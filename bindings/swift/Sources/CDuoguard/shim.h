#include <duoguard.h>
