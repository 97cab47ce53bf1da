/* The service model's bytes in the program: from the first to before the second. */
#ifndef MH_EMULATOR_MODEL_TEXT_H
#define MH_EMULATOR_MODEL_TEXT_H

extern const char mh_model_text[], mh_model_text_end[];

#endif
