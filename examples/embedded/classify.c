/* Which digit an image shows, by a model that is a part of the program: see CMakeLists.txt. */
#include <stdio.h>

#include "classifier.h"

int main(void) {
    static _Alignas(64) float image[8 * 8];
    static _Alignas(64) float scores[10];
    for (int i = 0; i < 64; i++) image[i] = (float)i / 64;
    struct classifier *model = classifier_open(1);
    if (model == NULL) return 1;
    const void *inputs[CLASSIFIER_INPUTS] = {image};
    void *outputs[CLASSIFIER_OUTPUTS] = {scores};
    int32_t failed = classifier_call(model, inputs, outputs, NULL);
    classifier_close(model);
    for (int i = 0; i < 10; i++) printf("%.6f\n", scores[i]);
    return failed != 0;
}
