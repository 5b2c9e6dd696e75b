# Built in one stage, run in another without compilers, caches or root.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/fhir-server
ENV PATH=/opt/fhir-server/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY fhir_server ./fhir_server
COPY mappers ./mappers
COPY terminology ./terminology
RUN pip install -c constraints.txt . && python -m compileall -q /opt/fhir-server/lib

FROM python:3.11-slim
RUN groupadd --system --gid 10001 fhir && useradd --system --uid 10001 --gid fhir --home-dir /data fhir \
    && install -d -o fhir -g fhir -m 0750 /data
COPY --from=build /opt/fhir-server /opt/fhir-server
ENV PATH=/opt/fhir-server/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FHIR_SERVER_HOST=0.0.0.0 \
    FHIR_SERVER_PORT=8000 \
    FHIR_SERVER_DATA_DIR=/data
USER fhir
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['FHIR_SERVER_PORT']}/health/ready\", timeout=4)"]
ENTRYPOINT ["fhir-server"]
CMD ["serve"]
