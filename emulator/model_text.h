/* The service model's bytes in the program, and how many they are. */
#ifndef MH_EMULATOR_MODEL_TEXT_H
#define MH_EMULATOR_MODEL_TEXT_H

#include <stdint.h>

extern const char mh_model_text[];
extern const uint64_t mh_model_text_size;

#endif
