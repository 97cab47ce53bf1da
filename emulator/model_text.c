/* The service model's bytes, taken into the program by the assembler. */
#include "emulator/model_text.h"

__asm__(".section .rodata\n"
	".global mh_model_text, mh_model_text_size\n"
	".hidden mh_model_text, mh_model_text_size\n"
	"mh_model_text:\n"
	".incbin \"" MH_MODEL_FILE "\"\n"
	"1:\n"
	".balign 8\n"
	"mh_model_text_size:\n"
	".quad 1b - mh_model_text\n"
	".previous\n");
