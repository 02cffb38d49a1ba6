# fmbench with what it needs: docker build -t fmbench .
# That takes torch as pip finds it, with CUDA. For a smaller image without: --build-arg TORCH_INDEX=ADDRESS, the package
# index of builds for CPUs that PyTorch's page on installing names.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY fmbench fmbench
COPY plugins plugins
COPY suites suites
RUN pip wheel --quiet --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG TORCH_INDEX=
# torch and torchvision come together from one index: those of two do not fit each other.
RUN pip install --quiet --no-cache-dir ${TORCH_INDEX:+--index-url} ${TORCH_INDEX:+"$TORCH_INDEX"} torch torchvision
COPY --from=wheel /wheels /wheels
RUN pip install --quiet --no-cache-dir /wheels/*.whl
RUN useradd --create-home --uid 1000 fmbench && install --directory --owner fmbench /bench /store
USER fmbench
ENV FMBENCH_HOME=/store MPLCONFIGDIR=/home/fmbench/.cache/matplotlib
VOLUME ["/store"]
WORKDIR /bench
ENTRYPOINT ["fmbench"]
CMD ["--help"]
