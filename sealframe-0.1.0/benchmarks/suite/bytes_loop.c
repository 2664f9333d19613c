/* The least that a decoder of length-prefixed frames can do: walk over the heads, make a
   bytes object of each body, put it into a list. No limits, no partial frames, no errors. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

static PyObject *split(PyObject *module, PyObject *chunk)
{
    Py_buffer view;
    if (PyObject_GetBuffer(chunk, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *frames = PyList_New(0);
    const char *place = view.buf, *end = place + view.len;
    while (frames != NULL && place < end) {
        uint32_t length; /* of a little-endian machine */
        memcpy(&length, place, 4);
        PyObject *body = PyBytes_FromStringAndSize(place + 4, length);
        if (body == NULL || PyList_Append(frames, body) < 0)
            Py_CLEAR(frames);
        Py_XDECREF(body);
        place += 4 + (size_t)length;
    }
    PyBuffer_Release(&view);
    return frames;
}

static PyMethodDef methods[] = {{"split", split, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "bytes_loop", NULL, -1, methods};

PyMODINIT_FUNC PyInit_bytes_loop(void)
{
    return PyModule_Create(&definition);
}
