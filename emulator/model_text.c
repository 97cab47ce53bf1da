/* The service model's bytes, taken into the program by the assembler. */
#include "emulator/model_text.h"

__asm__(".section .rodata\n"
	".global mh_model_text\n"
	".hidden mh_model_text\n"
	".type mh_model_text, %object\n"
	"mh_model_text:\n"
	".incbin \"" MH_MODEL_FILE "\"\n"
	".global mh_model_text_end\n"
	".hidden mh_model_text_end\n"
	"mh_model_text_end:\n"
	".byte 0\n"
	".previous\n");
